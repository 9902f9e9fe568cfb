import {Failure} from '../failure.js';
import {runChild} from './child.js';
import {NO_DEVICES} from './topology.js';

/**
 * Refuses a device model that QEMU does not have.
 *
 * @param devices - `-device` arguments of QEMU
 * @param qemu - name of the program, and its path; without a path only the form of the names is checked
 * @throws {@link Failure} (usage) for the first model that is none
 */
export const refuseUnknownModels = async (
  devices: readonly string[],
  {name, path: qemu}: {name: string; path: string | null},
): Promise<void> => {
  // QEMU takes JSON, too, which it checks itself
  const models = devices.filter((device) => device !== NO_DEVICES && !device.startsWith('{')).map(modelOf);
  const misnamed = models.find((model) => !/^[A-Za-z][\w.+-]*$/.test(model));
  if (misnamed !== undefined)
    throw unknownModel(
      misnamed,
      name,
      "A device begins with the name of one of QEMU's models, such as nvme or e1000e.",
    );
  if (qemu === null) return;
  for (const model of new Set(models)) {
    const {stderr} = await runChild(qemu, ['-machine', 'none', '-device', `${model},help`]);
    // qom/qom-qmp-cmds.c, qmp_device_list_properties(), which qdev_device_help() asks (QEMU 7.2); the exit code is 0 all the same
    if (stderr.includes(`Device '${model}' not found`))
      throw unknownModel(model, name, 'QEMU has no device model of this name.');
  }
};

/** Models are named first, or as `driver=MODEL`. */
const modelOf = (device: string): string => {
  const words = device.split(',');
  return words.find((word) => word.startsWith('driver='))?.slice('driver='.length) ?? words[0] ?? '';
};

const unknownModel = (model: string, program: string, why: string): Failure =>
  new Failure({
    code: 'LAB_PCI',
    kind: 'usage',
    what: `--pci does not know "${model}".`,
    why,
    hint: `Run "${program} -device help" to see the models that there are.`,
  });
