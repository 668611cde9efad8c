/** The part of the contract with the addon that is about overlays: see binding.ts. */

/** Where what a guest does goes, in place of the share. */
export interface NativeOverlay {
  readonly upper: string;
  /** On the same file system as the upper directory. */
  readonly work: string;
}

/**
 * What is to be done with an upper directory. `overlayWork` resolves to the changes, by path; for `apply` and `discard` to
 * none. It rejects with EBUSY if a device uses the directory.
 */
export interface NativeOverlayWork extends NativeOverlay {
  readonly lower: string;
  readonly action: 'list' | 'apply' | 'discard';
  /** Below the share; of `list`: none. */
  readonly paths: readonly string[];
}

export interface NativeOverlayChange {
  readonly path: string;
  readonly kind: 'added' | 'modified' | 'replaced' | 'removed';
  readonly type: 'file' | 'directory' | 'symlink' | 'special';
}
