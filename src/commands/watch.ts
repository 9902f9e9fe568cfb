import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {watchText} from '../cli/answers/watch-text.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {UnreadOutput} from '../cli/output/unread-output.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import {UeventSocket} from '../linux/socket/uevent-socket.js';
import {RunEach} from '../watch/run-each.js';
import {watchHost} from '../watch/watch-host.js';
import type {WatchEvent, WatchKind, WatchLine} from '../watch/watch-line.js';

const KINDS: readonly WatchKind[] = ['device', 'group', 'vm'];

export default class Watch extends BaseCommand {
  static override summary = 'Follow devices, drivers, groups and VMs of this host as they change.';

  static override description = `Prints a line as soon as the kernel reports that a device has come or gone, or has another driver, and that a VM has come or gone. When the kernel has been silent for a moment, kvfio reads the groups, and prints each verdict that has changed.

--json prints JSON lines: first what is there ("present"), then "ready", then what changes. If kvfio was so slow that the kernel dropped messages, kvfio prints "lost", reads everything again, and prints what differs.

The kernel does not report which VFIO files a VM has: kvfio looks every --interval.

--exec runs a shell command for each line after "ready", one after the other. It gets the JSON line on stdin, and KVFIO_KIND, KVFIO_EVENT, KVFIO_ADDRESS, KVFIO_DRIVER, KVFIO_GROUP and KVFIO_PID in its environment; what it prints goes to stderr.`;

  static override usage = 'watch [FLAGS]';

  static override examples = [
    {description: 'follow everything', command: '<%= config.bin %> <%= command.id %>'},
    {
      description: 'groups that a VM can have from now on',
      command: `<%= config.bin %> <%= command.id %> --only group --json | jq -c 'select(.group.assignable=="yes")'`,
    },
    {
      description: 'a script for each VM that comes or goes',
      command: '<%= config.bin %> <%= command.id %> --only vm --exec ./on-vm.sh',
    },
  ];

  static override flags = {
    only: Flags.string({
      multiple: true,
      options: KINDS,
      helpValue: 'KIND',
      description: 'follow only these: device, group or vm',
    }),
    exec: Flags.string({description: 'run this shell command for each line', helpValue: 'COMMAND'}),
    interval: Flags.integer({
      min: 1,
      max: 3600,
      default: 10,
      helpValue: 'SECONDS',
      description: 'time between two looks at the files of VMs',
    }),
  };

  async run(): Promise<null> {
    const {flags} = await this.parse(Watch);
    if (flags.exec?.trim() === '')
      throw usageFailure('The command of --exec is empty.', 'Name one, as in --exec ./on-change.sh.');
    using ending = new EndingSignals();
    using unread = new UnreadOutput();
    const runs =
      flags.exec === undefined
        ? null
        : new RunEach({
            command: flags.exec,
            onFailure: (how) => void this.warnOf([{message: `the command of --exec ${how}`}]),
          });
    const {paint} = await this.look();
    if (UeventSocket.isDeaf())
      throw noMessages('its network namespace belongs to a user namespace that is not the first');
    let isReady = false;
    const onEvents = (events: readonly WatchEvent[]): void => {
      const time = new Date().toISOString();
      for (const event of events) {
        const line: WatchLine = {schemaVersion: 1, time, ...event};
        if (this.jsonEnabled()) this.printJsonLine(line);
        else if (isReady) this.printLines([watchText(line, paint)]);
        if (isReady) runs?.add(line);
        isReady ||= event.event === 'ready';
      }
    };
    try {
      await watchHost({
        signal: AbortSignal.any([ending.signal, unread.signal]),
        interval: flags.interval * 1000,
        kinds: new Set((flags.only as WatchKind[] | undefined) ?? KINDS),
        onEvents,
        onWarnings: (warnings) => this.warnOf(warnings),
      });
    } catch (error) {
      if (!(error instanceof SyscallError && error.syscall === 'socket')) throw error;
      throw noMessages(`socket(NETLINK_KOBJECT_UEVENT) failed with ${error.code}`, error.code);
    }
    const left = (await runs?.end()) ?? 0;
    if (left > 0) await this.warnOf([{message: `the command of --exec has not run for ${left} lines`}]);
    return null;
  }
}

const noMessages = (why: string, errno?: string): Failure =>
  new Failure({
    code: 'NO_UEVENTS',
    kind: 'cannotDecide',
    what: 'kvfio cannot follow this host.',
    why: `The kernel gives this process no messages about devices: ${why}.`,
    hint: 'Run kvfio on the host itself, outside of the container or sandbox.',
    errno,
  });
