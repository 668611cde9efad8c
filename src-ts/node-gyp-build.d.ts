/** node-gyp-build ships no types. It finds and loads the addon of the package whose root directory it is given. */
declare module 'node-gyp-build' {
  function load(packageRoot: string): unknown;
  namespace load {
    /** The path of the file that `load` would take; throws an Error that lists what was looked for. */
    function path(packageRoot: string): string;
  }
  export = load;
}
