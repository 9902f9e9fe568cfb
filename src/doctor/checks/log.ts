import {fail, type HostCheck} from '../check.js';
import {logLines, type LogTopic} from '../log-lines.js';
import type {Machine} from '../machine.js';

/** What VFIO or the IOMMU has said of a refusal, and what to do about it. */
interface Sign {
  topic: LogTopic;
  id: string;
  /** What it means, without a full stop. */
  matters: string;
  remedy: string;
}

const SIGNS: readonly Sign[] = [
  {
    topic: 'direct-region',
    id: 'log-direct-region',
    matters:
      'firmware wants memory mapped one to one for that device at all times (RMRR, IVMD), so that VFIO may not have it: EPERM of VFIO_SET_IOMMU before 6.6, EINVAL of VFIO_GROUP_SET_CONTAINER since',
    remedy:
      'have the firmware leave that region out, as by an option or an update of the vendor, or use another device; no parameter of an unpatched kernel lifts it',
  },
  {
    topic: 'denylist',
    id: 'log-denylist',
    matters: 'vfio-pci leaves alone what is on its list of devices with known errata (EINVAL)',
    remedy:
      'load vfio-pci with disable_denylist=1, at the risk that a guest makes the device hang the host, or use another device',
  },
  {
    topic: 'reserved-memory',
    id: 'log-reserved-memory',
    matters: 'something else holds that memory of the device, so that a VM cannot map it (EBUSY)',
    remedy:
      'see in /proc/iomem who has it; if it is a framebuffer of the firmware (BOOTFB, efifb, simplefb), boot with initcall_blacklist=sysfb_init',
  },
  {
    topic: 'inaccessible',
    id: 'log-inaccessible',
    matters: 'the device did not come back from a reset or from being powered down, and answers all ones',
    remedy:
      'switch the machine off and on; if that helps for a while, keep the device out of D3 with vfio-pci.disable_idle_d3=1',
  },
  {
    topic: 'locked-memory',
    id: 'log-locked-memory',
    matters: 'VFIO could not pin the memory of a VM, because its user may not lock more memory (ENOMEM)',
    remedy:
      'raise memlock for that user in /etc/security/limits.d, or LimitMEMLOCK= of the service that starts VMs',
  },
];

/** One check for each kind of refusal in the log. */
export const logChecks = (machine: Machine): HostCheck[] =>
  SIGNS.flatMap(({topic, id, matters, remedy}) => {
    const [line, ...others] = logLines(machine, topic);
    if (line === undefined) return [];
    const more = others.length === 0 ? '' : `, and ${others.length} more such`;
    return [
      {
        id,
        title: 'the kernel log has no refusal',
        otherwise: 'the kernel log has a refusal',
        matters,
        neededFor: [],
        look: () => fail(`it says "${line}"${more}`, remedy),
      },
    ];
  });
