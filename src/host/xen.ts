import {SyscallError} from '../linux/errno.js';
import type {HostTree} from './tree.js';

/** What a machine is to Xen: the domain that has the hardware, a guest, or one of them. */
export type XenRole = 'dom0' | 'guest' | 'unknown';

/** Null when there is no Xen below. */
export const readXenRole = (tree: HostTree): XenRole | null => {
  const text = (path: string): string | null => {
    const answer = tree.text(path);
    return answer instanceof SyscallError ? null : answer.trim();
  };
  const names = (path: string): string[] => {
    const answer = tree.list(path);
    return answer instanceof SyscallError ? [] : answer;
  };
  const type = text('/sys/hypervisor/type');
  const capabilities = text('/proc/xen/capabilities');
  // a report may have but one of the two
  if (type === null ? capabilities === null : type !== 'xen') return null;
  // since 6.4 (drivers/xen/sys-hypervisor.c); before, only xenfs says it, where it is mounted
  const initial = text('/sys/hypervisor/start_flags/initdomain');
  if (capabilities?.includes('control_d') === true || initial === '1') return 'dom0';
  // Xen renames the table DMAR, so that dom0 leaves VT-d alone (xen/drivers/passthrough/vtd/dmar.c, acpi_dmar_zap)
  if (names('/sys/firmware/acpi/tables').includes('XMAR')) return 'dom0';
  if (names('/sys/bus/pci/drivers').some((driver) => DOM0_DRIVERS.includes(driver))) return 'dom0';
  return capabilities !== null || initial === '0' ? 'guest' : 'unknown';
};

/** Drivers that keep a device for a guest: only a domain with devices has them. */
const DOM0_DRIVERS = ['pciback', 'xen-pciback'];
