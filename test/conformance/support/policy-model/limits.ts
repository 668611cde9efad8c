/** What the model counts of a guest's work, and the bounds of `limits`. */
import type { PolicyObject } from 'virtio-fs';
import { Refusal } from './view.js';

export class ModelLimits {
  #handles = 0;
  #names = 0;
  #written = 0;
  #bounds = { openHandles: Infinity, inodes: Infinity, bytesWritten: Infinity, fileSize: Infinity };

  /** What has been counted counts on. */
  set policy({ rules = [] }: PolicyObject) {
    const given = rules.find((rule) => rule.type === 'limits');
    this.#bounds = {
      openHandles: given?.openHandles ?? Infinity,
      inodes: given?.inodes ?? Infinity,
      bytesWritten: given?.bytesWritten ?? Infinity,
      fileSize: given?.fileSize ?? Infinity,
    };
  }

  opened(): void {
    if (this.#handles >= this.#bounds.openHandles) throw new Refusal('EMFILE');
    this.#handles++;
  }

  closed(): void {
    this.#handles--;
  }

  /** There can be one more name; it is counted by `named`. */
  checkName(): void {
    if (this.#names >= this.#bounds.inodes) throw new Refusal('ENOSPC');
  }

  named(): void {
    this.#names++;
  }

  /** A name less, whoever had made it. */
  removed(): void {
    this.#names = Math.max(0, this.#names - 1);
  }

  checkSize(size: number): void {
    if (size > this.#bounds.fileSize) throw new Refusal('EFBIG');
  }

  /** How many of so many bytes are written from `offset` on; counted where something bounds them. */
  write(offset: number, length: number): number {
    if (length === 0) return 0;
    const { fileSize, bytesWritten } = this.#bounds;
    if (fileSize === Infinity && bytesWritten === Infinity) return length;
    if (offset >= fileSize) throw new Refusal('EFBIG');
    const granted = Math.min(length, fileSize - offset, Math.max(0, bytesWritten - this.#written));
    if (granted === 0) throw new Refusal('EDQUOT');
    this.#written += granted;
    return granted;
  }

  /** The same of what is allocated, all of it or nothing; counted where `bytesWritten` bounds it. */
  allocate(length: number): void {
    const { bytesWritten } = this.#bounds;
    if (bytesWritten === Infinity) return;
    if (this.#written + length > bytesWritten) throw new Refusal('EDQUOT');
    this.#written += length;
  }
}
