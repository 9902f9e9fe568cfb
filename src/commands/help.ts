import {Args, Command, Flags} from '@oclif/core';
import KvfioHelp from '../cli/help/help.js';

/** What `--help` shows; as it tells of commands and answers nothing, it has no --json. */
export default class Help extends Command {
  static override summary = 'Show the map of kvfio, or the help of commands.';

  static override description = '"kvfio COMMAND --help" shows the same.';

  static override usage = 'help [COMMAND...] [--all]';

  static override args = {command: Args.string({description: 'command whose help is shown'})};

  static override strict = false;

  static override flags = {
    all: Flags.boolean({description: 'show every flag and every explanation'}),
  };

  async run(): Promise<void> {
    const {argv, flags} = await this.parse(Help);
    const commands = argv.length === 0 ? [''] : (argv as string[]);
    const unknown = argv.find((id) => this.config.findCommand(id as string) === undefined);
    if (unknown !== undefined) this.error(`Command ${unknown as string} not found.`);
    for (const command of commands) {
      const help = new KvfioHelp(this.config, this.config.pjson.oclif.helpOptions);
      await help.showHelp([command, ...(flags.all ? ['--all'] : [])]);
    }
  }
}
