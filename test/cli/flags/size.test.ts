import assert from 'node:assert/strict';
import {parseSize} from '../../../src/cli/flags/size.js';

describe('a size', () => {
  it('is a number of bytes, with a unit or none', () => {
    for (const [text, bytes] of [
      ['0', 0],
      ['64', 64],
      ['512K', 524_288],
      ['8m', 8_388_608],
      ['8MiB', 8_388_608],
      ['8Mi', 8_388_608],
      ['8MB', 8_388_608],
      ['64B', 64],
      ['1G', 1_073_741_824],
    ] as const)
      assert.equal(parseSize(text, 'dirty', 2 ** 30), bytes, text);
  });

  it('is refused when it is none or too much', () => {
    for (const text of ['', 'M', '-1', '1.5M', '8X', '8iB', '1T', '0x10', '9'.repeat(30)])
      assert.throws(
        () => parseSize(text, 'dirty', 2 ** 30),
        {kind: 'usage', why: /not a size for --dirty/},
        text,
      );
    assert.throws(() => parseSize('1025M', 'dirty', 2 ** 30), {kind: 'usage', why: /too much/});
  });
});
