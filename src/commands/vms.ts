import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {csvLines, sorted, tableLines} from '../cli/output/table.js';
import {tableChoice, tableFlags, type TableChoice} from '../cli/flags/table-flags.js';
import {
  lastingText,
  LONGEST_EVENT,
  USUAL_VMS_COLUMNS,
  VMS_COLUMNS,
  watchColumns,
} from '../cli/answers/vms-table.js';
import type {WatchDocument} from '../kvm-vfio/diff-vms.js';
import {listVms, type ListedVm, type VmsDocument} from '../kvm-vfio/vms.js';
import {watchVms, type WatchedVm} from '../kvm-vfio/watch-vms.js';

export default class Vms extends BaseCommand {
  static override summary = 'List the VMs of this host, their VFIO groups, and whether each is coherent.';

  static override description = `Reads /proc only: kvfio stops no process and asks no VM anything. Without root it lists your own VMs, and says how many processes it could not look into.

The owner is the process that created the VM. MEMORY is what it has at present, resident pages and huge pages of hugetlbfs together: what the guest has touched so far, or all of it once VFIO has pinned it, and the VMM's own. DEVICE is the owner's descriptor of the kvm-vfio device. COHERENCY is a prediction, because the kernel does not list what is registered: if an owner has such a device, kvfio takes all VFIO files that it has open for registered. "kvfio status --verify" finds out.

If an owner has several VMs, kvfio lists all that it holds with each of them, and knows VCPUS only as root, with debugfs.`;

  static override usage = ['vms [FLAGS]', 'vms --watch [--interval SECONDS] [FLAGS]'];

  static override examples = [
    {description: 'all VMs', command: '<%= config.bin %> <%= command.id %>'},
    {
      description: 'follow changes, as JSON lines',
      command: '<%= config.bin %> <%= command.id %> --watch --json',
    },
    {
      description: 'the processes whose VM has group 12',
      command:
        "<%= config.bin %> <%= command.id %> --json | jq '.vms[]|select(any(.groups[];.group==12)).pid'",
    },
  ];

  static override flags = {
    watch: Flags.boolean({
      char: 'w',
      exclusive: ['sort'],
      description: 'print each VM that appears, changes or ends',
    }),
    interval: Flags.integer({
      min: 1,
      max: 3600,
      helpValue: 'SECONDS',
      dependsOn: ['watch'],
      description: 'seconds from one look to the next; default 1',
    }),
    ...tableFlags(VMS_COLUMNS),
  };

  async run(): Promise<VmsDocument | null> {
    const {flags} = await this.parse(Vms);
    const table = tableChoice(VMS_COLUMNS, USUAL_VMS_COLUMNS, flags);
    if (flags.watch) {
      await this.#follow(table, (flags.interval ?? 1) * 1000);
      return null;
    }
    const document = await listVms();
    if (!this.jsonEnabled()) {
      const {sort} = table;
      const rows = sort === null ? document.vms : sorted(document.vms, sort.column, sort.descending);
      this.printLines(await this.#lines(rows, table));
    }
    await this.#about(document);
    if (document.vms.length === 0)
      this.note(document.hidden === 0 ? 'no VMs.' : 'no VM is visible to this user.');
    return document;
  }

  /** Prints what is there and then what changes, until a signal comes or nobody reads any more. */
  async #follow(table: TableChoice<ListedVm>, interval: number): Promise<void> {
    using ending = new EndingSignals();
    // only whoever follows VMs needs the kernel for it
    const {UnreadOutput} = await import('../cli/output/unread-output.js');
    using unread = new UnreadOutput();
    const print = await this.#printing(table);
    await watchVms({
      interval,
      signal: AbortSignal.any([ending.signal, unread.signal]),
      shown: this.jsonEnabled() ? undefined : lastingText(table.columns),
      onFirst: (document) => this.#about(document),
      onVms: print,
    });
  }

  /** How lines are printed as they come: the header of a table at once, and its columns where they are. */
  async #printing(table: TableChoice<ListedVm>): Promise<(lines: readonly WatchedVm[]) => Promise<void>> {
    if (this.jsonEnabled())
      return (lines) => {
        for (const {event, vm} of lines)
          this.printJsonLine({schemaVersion: 1, event, vm} satisfies WatchDocument);
        return Promise.resolve();
      };
    const {header, csv} = table;
    const columns = watchColumns(table.columns);
    if (csv) {
      this.printLines(csvLines([], columns, header));
      return (lines) => {
        this.printLines(csvLines(lines, columns, false));
        return Promise.resolve();
      };
    }
    const look = await this.look();
    const widths = [LONGEST_EVENT];
    if (header) this.printLines(await tableLines([], columns, {...look, header, widths}));
    return async (lines) => {
      if (lines.length > 0)
        this.printLines(await tableLines(lines, columns, {...look, header: false, widths}));
    };
  }

  async #lines<Row>(rows: readonly Row[], {columns, header, csv}: TableChoice<Row>): Promise<string[]> {
    if (csv) return csvLines(rows, columns, header);
    if (rows.length === 0) return [];
    return tableLines(rows, columns, {header, ...(await this.look())});
  }

  async #about({hidden, warnings}: VmsDocument): Promise<void> {
    await this.warnOf(warnings);
    if (hidden === 0) return;
    const [those, its] = hidden === 1 ? ['process', 'its'] : ['processes', 'their'];
    const remedy =
      process.geteuid?.() === 0
        ? `root here lacks CAP_SYS_PTRACE in ${its} user namespace`
        : 'root sees the VMs of all users';
    this.note(`could not look into ${hidden} ${those}: ${remedy}.`);
  }
}
