import {readFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {pathToFileURL} from 'node:url';
import type {Plugin} from 'esbuild';

/** What a module calls its own address; in parts, so that {@link locatedSources} leaves this file as it is. */
export const OWN_URL = ['import', 'meta', 'url'].join('.');
const OWN_FOLDER = ['import', 'meta', 'dirname'].join('.');

/** Has modules that are compiled elsewhere look for what is beside them beside their sources. */
export const locatedSources: Plugin = {
  name: 'located-sources',
  setup: (compiler) => {
    compiler.onLoad({filter: /\/(?:src|test)\/.*\.ts$/}, ({path}) => ({
      contents: readFileSync(path, 'utf8')
        .replaceAll(OWN_URL, JSON.stringify(pathToFileURL(path).href))
        .replaceAll(OWN_FOLDER, JSON.stringify(dirname(path))),
      loader: 'ts',
    }));
  },
};
