/**
 * A DMAR table that takes the place of QEMU's: the same, and a region that firmware wants mapped one to one for one device (Intel
 * VT-d specification, chapter 8).
 *
 * @param path - device and function of each hop from bus 0 to the device
 */
export const dmarWithRegion = (
  path: readonly (readonly [device: number, fn: number])[],
  {start, end}: {start: bigint; end: bigint},
): Buffer => {
  const ioApic = scope(3, 0xff, [[0, 0]]);
  const unit = structure(0, Buffer.concat([bytes('0100 0000'), u64(0xfed90000n), ioApic]));
  const region = structure(1, Buffer.concat([bytes('0000 0000'), u64(start), u64(end), scope(1, 0, path)]));
  // 39 bits wide, interrupts remapped
  const body = Buffer.concat([bytes('26 01'), Buffer.alloc(10), unit, region]);
  const header = Buffer.alloc(36);
  header.write('DMAR', 0, 'latin1');
  header.writeUInt32LE(header.length + body.length, 4);
  header.writeUInt8(1, 8);
  // the kernel takes a table of the same maker that is newer (drivers/acpi/tables.c)
  header.write('BOCHS BXPC    ', 10, 'latin1');
  header.writeUInt32LE(2, 24);
  header.write('BXPC', 28, 'latin1');
  header.writeUInt32LE(1, 32);
  const table = Buffer.concat([header, body]);
  table.writeUInt8((256 - (table.reduce((sum, byte) => sum + byte, 0) % 256)) % 256, 9);
  return table;
};

const structure = (type: number, rest: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(type, 0);
  head.writeUInt16LE(head.length + rest.length, 2);
  return Buffer.concat([head, rest]);
};

const scope = (type: number, bus: number, path: readonly (readonly [number, number])[]): Buffer =>
  Buffer.from([type, 6 + 2 * path.length, 0, 0, 0, bus, ...path.flat()]);

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

const u64 = (value: bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(value);
  return buffer;
};
