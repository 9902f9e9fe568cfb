import type {BindDocument, UnbindDocument} from '../vfio/bind/bind-document.js';

/** What `kvfio vmm-args --json` prints. */
export interface VmmArgsDocument {
  schemaVersion: 1;
  vmm: string;
  /** Addresses of the devices. */
  devices: string[];
  args: string[];
}

/** What `kvfio run --json` prints. */
export interface RunDocument {
  schemaVersion: 1;
  dryRun: boolean;
  /** The command line, with the arguments for the devices. */
  command: string[];
  /** The user whom the VMM runs as; null when that is the user of kvfio. */
  user: string | null;
  bind: BindDocument;
  /** How the VMM ended; null in a dry run, and when it was not started. */
  end: VmmEnd | null;
  /** How devices were given back, group by group; empty when kvfio had bound none, or was to keep them. */
  unbind: UnbindDocument[];
  /** What could not be given back, and why. */
  kept: KeptDevices[];
}

/** Devices that VFIO still has although they were to be given back. */
export interface KeptDevices {
  group: number | null;
  /** Addresses. */
  devices: string[];
  /** The failure of `kvfio unbind`. */
  code: string;
  message: string;
}

export interface VmmEnd {
  /** Null when a signal ended it. */
  exitCode: number | null;
  signal: string | null;
  /** How long it ran. */
  seconds: number;
}
