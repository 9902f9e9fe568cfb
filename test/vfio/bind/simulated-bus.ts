import {existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {basename, join, relative} from 'node:path';
import type {AttributeWriter} from '../../../src/linux/attribute-writer.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {SyscallError} from '../../../src/linux/errno.js';
import type {InterfaceAddress} from '../../../src/linux/socket/interface-addresses.js';
import type {BindOptions} from '../../../src/vfio/bind/bind.js';
import type {DeviceNodeOwner} from '../../../src/vfio/bind/node-owner.js';
import type {BindSetting} from '../../../src/vfio/bind/setting.js';
import type {Machine} from '../../support/machine.js';

type Errno = keyof typeof constants.errno;

/** What `kvfio bind` is told without any flag, on a simulated bus. */
export const bindOptions = (bus: SimulatedBus, more: Partial<BindOptions> = {}): BindOptions => ({
  dryRun: false,
  force: [],
  timeout: 1,
  onNote: () => undefined,
  owner: null,
  setting: bus.setting(),
  ...more,
});

/**
 * A tree of files whose drivers bind as drivers/base/bus.c, dd.c and pci-driver.c have it: an override admits one driver
 * only, a bound device takes no other, and VFIO makes a node per group.
 */
export class SimulatedBus implements AttributeWriter {
  /** `PATH TEXT` of each write. */
  readonly writes: string[] = [];
  readonly nodes = new Map<string, DeviceNodeOwner>();
  /** Which driver knows a device by its ids. */
  readonly natives: ReadonlyMap<string, string>;
  /** Refuses the write of this number, counted from 1, and so many after it. */
  failing: {at: number; count: number; errno: Errno} = {at: Infinity, count: 0, errno: 'EINVAL'};
  /** Does something to the machine before the write of this number, as another program may. */
  before: {at: number; act: () => void} = {at: Infinity, act: () => undefined};
  addresses: InterfaceAddress[] = [];
  observe: (did: string) => void = () => undefined;
  readonly loaded: string[] = [];
  readonly #root: string;

  constructor({root}: Machine, natives: Record<string, string>) {
    this.#root = root;
    this.natives = new Map(Object.entries(natives));
  }

  setting(): BindSetting {
    return {
      tree: new DirectoryTree(this.#root),
      folder: join(this.#root, 'run/kvfio/bind'),
      nodes: {
        owner: (path) => this.nodes.get(path) ?? null,
        give: (path, uid) => {
          const owner = this.nodes.get(path);
          if (owner === undefined) throw new SyscallError('chown', constants.errno.ENOENT, path);
          this.nodes.set(path, {...owner, uid});
        },
        settled: () => Promise.resolve(),
      },
      writer: () => this,
      addresses: () => this.addresses,
      loadModule: (name) => {
        this.loaded.push(name);
        mkdirSync(this.#path(`/sys/bus/pci/drivers/${name.replaceAll('_', '-')}`), {recursive: true});
        return Promise.resolve();
      },
      observe: (did) => {
        this.observe(did);
      },
    };
  }

  /** What each device that is there is bound to, and its override. */
  state(): Record<string, [driver: string | null, override: string]> {
    return Object.fromEntries(
      [...this.natives.keys()]
        .map((address) => [address, this.#device(address)] as const)
        .filter(([, folder]) => existsSync(folder))
        .map(([address, folder]) => [
          address,
          [this.#driver(folder), readFileSync(join(folder, 'driver_override'), 'utf8').trim()],
        ]),
    );
  }

  /** Takes a device out of the machine. */
  unplug(address: string): void {
    rmSync(this.#device(address), {recursive: true});
    rmSync(this.#path(`/sys/bus/pci/devices/${address}`));
  }

  async write(path: string, text: string): Promise<void> {
    await Promise.resolve();
    this.writes.push(`${path} ${text.trim()}`);
    const number = this.writes.length;
    if (number === this.before.at) this.before.act();
    const {at, count, errno} = this.failing;
    if (number >= at && number < at + count) throw this.#refusal(errno, path);
    if (!existsSync(this.#path(path))) this.#requireDriverFile(path);
    if (path.endsWith('/driver_override')) {
      writeFileSync(this.#path(path), `${text.trim() === '' ? '(null)' : text.trim()}\n`);
      return;
    }
    if (path === '/sys/bus/pci/drivers_probe') {
      const driver = this.#choice(text);
      if (driver !== null && this.#driver(this.#device(text)) === null) this.#attach(text, driver);
      return;
    }
    const [, driver = '', action] = /^\/sys\/bus\/pci\/drivers\/([^/]+)\/(bind|unbind)$/.exec(path) ?? [];
    const folder = this.#device(text);
    if (!existsSync(folder)) throw this.#refusal('ENODEV', path);
    if (action === 'unbind') {
      if (this.#driver(folder) !== driver) throw this.#refusal('ENODEV', path);
      this.#detach(text);
    } else {
      if (this.#driver(folder) !== null) throw this.#refusal('EBUSY', path);
      if (!this.#matches(text, driver)) throw this.#refusal('ENODEV', path);
      this.#attach(text, driver);
    }
  }

  #attach(address: string, driver: string): void {
    const folder = this.#device(address);
    symlinkSync(relative(folder, this.#path(`/sys/bus/pci/drivers/${driver}`)), join(folder, 'driver'));
    this.#uevent(folder, driver);
    const group = this.#group(folder);
    if (driver !== 'vfio-pci' || group === null || this.nodes.has(`/dev/vfio/${group}`)) return;
    const device = 0xf500 + Number(group);
    mkdirSync(this.#path(`/sys/class/vfio/${group}`), {recursive: true});
    writeFileSync(this.#path(`/sys/class/vfio/${group}/dev`), `245:${group}\n`);
    this.nodes.set(`/dev/vfio/${group}`, {device, uid: 0});
  }

  #detach(address: string): void {
    const folder = this.#device(address);
    rmSync(join(folder, 'driver'));
    this.#uevent(folder, null);
    const group = this.#group(folder);
    const others = [...this.natives.keys()]
      .map((other) => this.#device(other))
      .filter((other) => existsSync(other))
      .some((other) => this.#group(other) === group && this.#driver(other) === 'vfio-pci');
    if (group === null || others) return;
    rmSync(this.#path(`/sys/class/vfio/${group}`), {recursive: true, force: true});
    this.nodes.delete(`/dev/vfio/${group}`);
  }

  #uevent(folder: string, driver: string | null): void {
    const file = join(folder, 'uevent');
    const rest = readFileSync(file, 'utf8').replace(/^DRIVER=.*\n/m, '');
    writeFileSync(file, driver === null ? rest : `DRIVER=${driver}\n${rest}`);
  }

  #matches(address: string, driver: string): boolean {
    const override = this.state()[address]?.[1] ?? '(null)';
    return override === '(null)' ? this.natives.get(address) === driver : override === driver;
  }

  #choice(address: string): string | null {
    const override = this.state()[address]?.[1] ?? '(null)';
    return override === '(null)' ? (this.natives.get(address) ?? null) : override;
  }

  #driver(folder: string): string | null {
    const link = join(folder, 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : null;
  }

  #group(folder: string): string | null {
    const link = join(folder, 'iommu_group');
    return existsSync(link) ? basename(readlinkSync(link)) : null;
  }

  #device(address: string): string {
    const link = this.#path(`/sys/bus/pci/devices/${address}`);
    try {
      return join(link, '..', readlinkSync(link));
    } catch {
      return link;
    }
  }

  #requireDriverFile(path: string): void {
    const folder = path.slice(0, path.lastIndexOf('/'));
    if (!existsSync(this.#path(folder))) throw this.#refusal('ENOENT', path);
  }

  #refusal(errno: Errno, path: string): SyscallError {
    return new SyscallError('write', constants.errno[errno], path);
  }

  #path(path: string): string {
    return join(this.#root, path);
  }
}
