import type {NamedFiles, RequestedChange} from '../kvm-vfio/change-report.js';
import {changeVm} from '../kvm-vfio/change.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {holdSignalsToTheEnd} from '../linux/hold-signals.js';
import {BaseCommand} from './base-command.js';
import {changeLines} from './answers/change-text.js';
import {namedFiles, reachOptions, vmPlace, type FileFlagValues, type VmFlagValues} from './flags/vm-flags.js';

/** What the commands share that change a VM's kvm-vfio device. */
export abstract class ChangeCommand extends BaseCommand {
  /** What the flags name; `otherwise` may be named in its place. */
  protected named(flags: FileFlagValues, otherwise?: string): Required<NamedFiles> {
    return namedFiles(flags, {
      note: (line) => {
        this.note(line);
      },
      otherwise,
    });
  }

  protected async change(
    change: RequestedChange,
    flags: VmFlagValues & {'dry-run': boolean},
  ): Promise<ChangeDocument> {
    const document = await changeVm(vmPlace(flags), change, {
      ...reachOptions(flags),
      dryRun: flags['dry-run'],
      // who interrupts a change is told all the same what has become of it
      beforeChange: holdSignalsToTheEnd,
    });
    if (!this.jsonEnabled()) await this.printFacts((paint) => changeLines(document, paint));
    await this.warnOf(document.warnings);
    return document;
  }
}
