import assert from 'node:assert/strict';
import {Attributes, type Warning} from '../../src/host/attributes.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {readNumaNodes, type NumaNodes} from '../../src/host/numa.js';
import {machine} from '../support/machine.js';

const ONLINE = '/sys/devices/system/node/online';

interface Read {
  nodes: NumaNodes | null;
  warnings: Warning[];
  /** How many files were looked for. */
  files: number;
}

const read = (online: string | null, distances: Record<number, string> = {}): Read => {
  using built = machine({});
  if (online !== null) built.write(ONLINE.slice(1), online);
  for (const [node, text] of Object.entries(distances))
    built.write(`sys/devices/system/node/node${node}/distance`, text);
  const tree = new DirectoryTree(built.root);
  const asked: string[] = [];
  const text = tree.text.bind(tree);
  tree.text = (path) => {
    asked.push(path);
    return text(path);
  };
  const attributes = new Attributes(tree);
  return {nodes: readNumaNodes(attributes), warnings: attributes.warnings, files: asked.length};
};

describe('the NUMA nodes of a machine', () => {
  it('are those that the kernel lists, with the distances of the firmware', () => {
    const {nodes, warnings} = read('0-1,4\n', {0: '10 21 31\n', 1: '21 10 31\n', 4: '31 31 10\n'});
    assert.deepEqual(nodes?.online, [0, 1, 4]);
    assert.equal(nodes.distance(0, 4), 31);
    assert.equal(nodes.distance(4, 2), null);
    assert.deepEqual(warnings, []);
  });

  it('may have any number below 1024, the most that a kernel is built for', () => {
    assert.deepEqual(read('1023\n').nodes?.online, [1023]);
    assert.equal(read('0-1023\n').nodes?.online.length, 1024);
  });

  it('are unknown without a warning where no file lists them', () => {
    assert.deepEqual([read(null).nodes, read(null).warnings], [null, []]);
  });

  it('are each read once, however often they are listed', () => {
    const {nodes, files} = read(`${Array(2000).fill('0-3').join(',')}\n`);
    assert.deepEqual(nodes?.online, [0, 1, 2, 3]);
    assert.equal(files, 5);
  });

  for (const list of ['0-9999', '0,1024', '0-1024', '3-1', '0,x', '0;1', '-1', '12345'])
    it(`are unknown, with a warning, where the kernel cannot have written the list: ${list}`, () => {
      const {nodes, warnings, files} = read(`${Array(580).fill(list).join(',')}\n`);
      assert.equal(nodes, null);
      assert.deepEqual(
        warnings.map(({path, code}) => [path, code]),
        [[ONLINE, 'MALFORMED']],
      );
      assert.equal(files, 1);
    });
});
