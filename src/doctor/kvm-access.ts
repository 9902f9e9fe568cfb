import {parseUserNames} from '../host/users.js';
import {fail, pass, unknown, type CheckFinding} from './check.js';
import {logLines} from './log-lines.js';
import {machineText, type Live, type Machine} from './machine.js';
import {otherHypervisor} from './why-no-kvm.js';

/** Whether this user may make VMs; else who refuses, and what that one needs. */
export const kvmAccess = (machine: Machine, live: Live): CheckFinding => {
  const {kvm, nodeError} = live;
  if (kvm?.opened === true) {
    if (kvm.createVm === null) return pass('/dev/kvm can be opened');
    const seen = `KVM_CREATE_VM is answered ${kvm.createVm}`;
    const [line] = logLines(machine, 'kvm');
    const said = line === undefined ? seen : `${seen}, and the kernel log says "${line}"`;
    if (kvm.createVm !== 'EBUSY') return fail(said, 'look at the messages of KVM with "dmesg | grep -i kvm"');
    const other = otherHypervisor(machine);
    return other === null
      ? fail(`${said}: another hypervisor has VMX or SVM`, 'end that hypervisor, whose module "lsmod" shows')
      : fail(`${seen}: ${other.seen}`, other.remedy);
  }
  const errno = kvm === null ? nodeError('/dev/kvm') : kvm.errno;
  if (errno === null) return pass('/dev/kvm can be opened');
  const seen = `/dev/kvm is answered ${errno}`;
  switch (errno) {
    case 'EPERM':
      return fail(`${seen}, which is how a device cgroup refuses`, CGROUP);
    case 'EACCES':
      return fail(seen, kvmRights(machine, live));
    default:
      return unknown(seen);
  }
};

const CGROUP =
  'permit /dev/kvm where the cgroup is made: --device /dev/kvm of docker and podman, DeviceAllow=/dev/kvm rw of a systemd unit, lxc.cgroup2.devices.allow = c 10:232 rwm of LXC';

/** The mode and group of the node, and the options of /dev's mount, decide who may use it. */
const kvmRights = (machine: Machine, {nodeOwner, nodeError, user}: Live): string => {
  const {distribution} = machine;
  const owner = nodeOwner('/dev/kvm');
  if (owner === null) return distribution.joinGroup('kvm');
  if (nodeError('/dev/kvm') === null)
    return 'mount the file system of /dev/kvm without "nodev", or have the security module (SELinux, AppArmor) permit it';
  if (user.uid === 0)
    return 'run kvfio as a user of the host who may use KVM: root here is one of a user namespace (podman: --group-add keep-groups)';
  const group = groupOf(machine, owner.gid);
  if ((owner.mode & 0o060) !== 0o060 || owner.gid === 0 || group === null)
    return 'have root run "chgrp kvm /dev/kvm" and "chmod 660 /dev/kvm", as udev does, and join the group kvm';
  return group.members.includes(nameOf(machine, user.uid) ?? '')
    ? `log in again, since you are in the group ${group.name} only from the next log-in on`
    : distribution.joinGroup(group.name);
};

/** A group as /etc/group has it; those of a directory service are not there. */
const groupOf = (machine: Machine, gid: number): {name: string; members: string[]} | null => {
  const line = machineText(machine, '/etc/group')
    ?.split('\n')
    .map((each) => each.split(':'))
    .find((fields) => fields[2] === String(gid));
  return line?.[0] === undefined ? null : {name: line[0], members: line[3]?.split(',') ?? []};
};

const nameOf = (machine: Machine, uid: number): string | null =>
  parseUserNames(machineText(machine, '/etc/passwd') ?? '').get(uid) ?? null;
