import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {refuseUnknownModels} from '../../src/lab/device-models.js';
import {findKernel} from '../../src/lab/kernel.js';
import {runLab, type LabOptions} from '../../src/lab/lab.js';

const failsWith = (code: string) => (error: unknown) => error instanceof Failure && error.code === code;

describe('what the lab is asked for', () => {
  for (const [options, code] of [
    [{kernel: 'foo'}, 'LAB_KERNEL_VALUE'],
    [{kernel: '6.13.1'}, 'LAB_KERNEL_VALUE'],
    [{pci: ['none', 'edu']}, 'LAB_PCI'],
    [{pci: ['0000:01:00.0']}, 'LAB_PCI'],
    [{pci: ['e1000e', '']}, 'LAB_PCI'],
    [{iommu: 'smmuv3'}, 'LAB_IOMMU'],
  ] as [Partial<LabOptions>, string][]) {
    it(`is refused before any program is looked for (${JSON.stringify(options)})`, async () => {
      const path = process.env['PATH'];
      try {
        process.env['PATH'] = '/nonexistent';
        await assert.rejects(
          runLab({task: {command: ['true']}, kvfio: ['kvfio'], ...options}),
          failsWith(code),
        );
      } finally {
        process.env['PATH'] = path;
      }
    });
  }
});

describe('what needs a program of the host to be refused', () => {
  let folder: string;
  const standIn = (name: string, script: string): string => {
    const file = join(folder, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`, {mode: 0o755});
    return file;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  it('is a device that QEMU does not have; others are asked for one at a time', async () => {
    const path = standIn(
      'qemu',
      `case $4 in nvme,help) echo nvme options:;; *) echo "$0: -device $4: Device '\${4%,help}' not found" >&2;; esac`,
    );
    const qemu = {name: 'qemu', path};
    await refuseUnknownModels(['nvme,serial=1', 'driver=nvme', '{"driver":"x"}', 'none'], qemu);
    await assert.rejects(refuseUnknownModels(['nvme', 'foo'], qemu), failsWith('LAB_PCI'));
    await assert.rejects(refuseUnknownModels(['id=a,driver=foo'], qemu), failsWith('LAB_PCI'));
    await refuseUnknownModels(['foo'], {name: 'qemu', path: null});
  });

  it('is a series of which apt has no package, whatever else is missing', async () => {
    standIn('apt-get', 'exit 0');
    standIn('apt-cache', '[ "$1" != pkgnames ] || echo linux-image-6.1.0-56-amd64');
    await assert.rejects(
      findKernel('6.13', {
        arch: 'arm64',
        cache: folder,
        path: folder,
        install: false,
        signal: undefined,
        onNote: () => undefined,
      }),
      (error) => error instanceof Failure && error.exitCode === 3,
    );
  });
});
