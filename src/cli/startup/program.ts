import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Plugin, type Command} from '@oclif/core';

/** Gives the module of a command, which has its class as default export. */
export type CommandOf = (id: string) => unknown;

/**
 * kvfio as oclif sees it. oclif's own way to it takes longer than most commands: it looks for files that are known
 * to be there, one after the other, and sorts by the rules of a language, for which ICU has to be set up.
 */
export class Program extends Plugin {
  readonly #commandOf: CommandOf;

  /** @param root the folder of package.json and oclif.manifest.json. */
  constructor(root: string, commandOf: CommandOf) {
    super({root, isRoot: true, pjson: json(root, 'package.json') as NonNullable<Plugin['pjson']>});
    this.#commandOf = commandOf;
    this.pjson = this.options.pjson as Plugin['pjson'];
    this.manifest = json(root, 'oclif.manifest.json') as Plugin['manifest'];
    this.root = root;
    this.type = 'core';
    this.isRoot = true;
    this.valid = true;
    this.hasManifest = true;
    this.hooks = {};
    this.moduleType = 'commonjs';
    this.alias = this.name = this.pjson.name;
    this.version = this.pjson.version;
    this.commandIDs = Object.keys(this.manifest.commands).sort();
    this.commands = this.commandIDs.flatMap((id) => {
      const command = this.manifest.commands[id];
      const load = (): Promise<Command.Class> => this.findCommand(id);
      return command === undefined
        ? []
        : [{...command, load, pluginAlias: this.alias, pluginType: this.type}];
    });
  }

  override load(): Promise<void> {
    return Promise.resolve();
  }

  override async findCommand(id: string): Promise<Command.Class> {
    const {default: command} = (await this.#commandOf(id)) as {default: Command.Class};
    return Object.assign(command, {id, plugin: this});
  }
}

const json = (root: string, name: string): unknown => JSON.parse(readFileSync(join(root, name), 'utf8'));
