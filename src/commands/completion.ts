import {Args} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import type {CompletedCommand} from '../cli/completion/model.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** What `kvfio completion --json` prints. */
export interface CompletionDocument {
  schemaVersion: 1;
  shell: Shell;
  script: string;
}

const SCRIPTS: Record<Shell, (commands: readonly CompletedCommand[]) => Promise<string>> = {
  bash: async (commands) => (await import('../cli/completion/bash.js')).bashCompletion(commands),
  zsh: async (commands) => (await import('../cli/completion/zsh.js')).zshCompletion(commands),
  fish: async (commands) => (await import('../cli/completion/fish.js')).fishCompletion(commands),
};

export default class Completion extends BaseCommand {
  static override summary = 'Print a script that completes command lines in bash, zsh or fish.';

  static override description = `The script completes commands, flags and values, among them what this host has: IOMMU groups, PCI addresses, drivers, and processes with a VM. It reads these itself and does not start kvfio.`;

  static override usage = 'completion SHELL [FLAGS]';

  static override examples = [
    {description: 'in ~/.bashrc', command: 'source <(<%= config.bin %> completion bash)'},
    {description: 'in ~/.zshrc, after compinit', command: 'source <(<%= config.bin %> completion zsh)'},
    {
      description: 'fish',
      command: '<%= config.bin %> completion fish > ~/.config/fish/completions/kvfio.fish',
    },
    {
      description: 'all users',
      command: '<%= config.bin %> completion bash > /usr/share/bash-completion/completions/kvfio',
    },
  ];

  static override args = {
    shell: Args.option({options: SHELLS})({required: true, description: 'shell that reads the script'}),
  };

  async run(): Promise<CompletionDocument> {
    const {args} = await this.parse(Completion);
    const {completedCommands} = await import('../cli/completion/model.js');
    const commands = completedCommands(this.config.commands);
    const script = await SCRIPTS[args.shell](commands);
    if (!this.jsonEnabled()) process.stdout.write(script);
    return {schemaVersion: 1, shell: args.shell, script};
  }
}
