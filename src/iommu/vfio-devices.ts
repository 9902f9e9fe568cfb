import type {Attributes} from '../host/attributes.js';

const VFIO_DEVICES = '/sys/class/vfio-dev';

/**
 * Folders under /sys/devices of the devices that VFIO has, whatever their drivers are called.
 *
 * The class exists since 6.1 (drivers/vfio/vfio_main.c, vfio_init()); before, there is none, and drivers' names have
 * to do.
 */
export const readVfioDevices = (attributes: Attributes): Set<string> =>
  new Set(
    (attributes.names(VFIO_DEVICES) ?? [])
      .map((name) => attributes.resolve(VFIO_DEVICES, name, 'optional'))
      // .../0000:01:00.0/vfio-dev/vfio0
      .flatMap((path) => path?.split('/vfio-dev/', 1) ?? []),
  );
