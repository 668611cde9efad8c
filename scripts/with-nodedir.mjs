// Runs a tool (node-gyp, prebuildify) with npm_config_nodedir set to Node headers that are already on this machine, so
// that no build fetches them. Prefers the headers beside the running Node; a Node without any (the npm package `node`,
// some containers) gets a small directory made from node-api-headers, which is all that a Node-API addon needs.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ROOT, isMain } from './lib/run.mjs';

function makeNodedir() {
  const nodedir = path.join(ROOT, '.cache/nodedir');
  const target = path.join(nodedir, 'include/node');
  mkdirSync(target, { recursive: true });
  const headers = createRequire(path.join(ROOT, 'package.json'))('node-api-headers').include_dir;
  for (const name of readdirSync(headers)) cpSync(path.join(headers, name), path.join(target, name));
  writeFileSync(
    path.join(target, 'common.gypi'),
    "{'target_defaults': {'default_configuration': 'Release', 'cflags': ['-fPIC', '-pthread', '-O3'],\n" +
      " 'defines': ['BUILDING_NODE_EXTENSION'], 'configurations': {'Release': {}, 'Debug': {}}}}\n",
  );
  writeFileSync(path.join(target, 'config.gypi'), "{'target_defaults': {}, 'variables': {}}\n");
  return nodedir;
}

/** The environment in which node-gyp finds headers without the network and the project's tools are on the PATH. */
export function gypEnvironment(env = process.env) {
  const prefix = path.dirname(path.dirname(process.execPath));
  const installed = existsSync(path.join(prefix, 'include/node/common.gypi')) ? prefix : undefined;
  return {
    ...env,
    npm_config_nodedir: env.npm_config_nodedir ?? installed ?? makeNodedir(),
    PATH: `${path.join(ROOT, 'node_modules/.bin')}${path.delimiter}${env.PATH}`,
  };
}

if (isMain(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  process.exit(spawnSync(command, args, { stdio: 'inherit', env: gypEnvironment() }).status ?? 1);
}
