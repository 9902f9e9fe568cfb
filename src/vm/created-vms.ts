import {readdirSync} from 'node:fs';
import {orNull} from '../linux/errno.js';
import type {Process} from '../linux/proc/process.js';

/** Folders of debugfs, one for each VM of this host; none where it is not mounted, or not for this user. */
export const vmFolders = (debugfs: string): string[] => orNull(() => readdirSync(`${debugfs}/kvm`)) ?? [];

/**
 * The folders of VMs that threads of a process have created. KVM names a folder after the thread and the number that the
 * VM's descriptor got (kvm_create_vm_debugfs in virt/kvm/kvm_main.c). Threads may have ended: none is not certain.
 */
export const createdBy = (owner: Process, folders: readonly string[]): string[] => {
  const tids = new Set(folders.length === 0 ? [] : (orNull(() => owner.tasks()) ?? []).map(String));
  return folders.filter((folder) => tids.has(folder.split('-', 1)[0] ?? ''));
};

/** Whether a folder is of the VM with this descriptor, which may have moved since. */
export const isOfDescriptor = (folder: string, fd: number): boolean => folder.endsWith(`-${fd}`);
