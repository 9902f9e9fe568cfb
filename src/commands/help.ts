import {Args, Command, Flags} from '@oclif/core';
import KvfioHelp from '../cli/help.js';

/** What `--help` shows; as it tells of commands and answers nothing, it has no --json. */
export default class Help extends Command {
  static override description = 'Display help for <%= config.bin %>.';

  static override args = {command: Args.string({description: 'Command to show help for.'})};

  static override flags = {
    'nested-commands': Flags.boolean({char: 'n', description: 'Include all nested commands in the output.'}),
  };

  async run(): Promise<void> {
    const {argv, flags} = await this.parse(Help);
    const options = {...this.config.pjson.oclif.helpOptions, all: flags['nested-commands']};
    await new KvfioHelp(this.config, options).showHelp(argv as string[]);
  }
}
