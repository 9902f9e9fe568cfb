import assert from 'node:assert/strict';
import {allowedCpus, currentCpu, runOn} from '../../src/linux/affinity.js';
import {EventFd} from '../../src/linux/eventfd.js';
import {setGuestMemory, Vcpu, VcpuExits} from '../../src/kvm/vcpu.js';
import {Kvm} from '../../src/kvm/system.js';
import {addressOf} from '../../src/linux/libc.js';
import {mapIdentically} from '../../src/kvm/long-mode.js';
import {Resources} from '../../src/linux/resources.js';
import {descriptors} from '../support/descriptors.js';
import {needs} from '../support/needs.js';

const PAGE = 4096;

describe('a vCPU', () => {
  it('has registers, a clock, counters and a reason for its last exit', function () {
    needs(this, 'x64', 'kvm');
    const before = descriptors();
    {
      using kvm = Kvm.open();
      using vm = kvm.createVm();
      using vcpu = Vcpu.create(vm.fd);
      vcpu.setCpuid(kvm.supportedCpuid());
      vcpu.startInLongMode(0x1000);
      vcpu.setRegisters({rip: 0x1000, rsi: 2 ** 40, rdi: 7});
      assert.deepEqual(
        (['rip', 'rsi', 'rdi', 'r12', 'rflags'] as const).map((name) => vcpu.getRegister(name)),
        [0x1000, 2 ** 40, 7, 0, 2],
      );
      assert.ok(vcpu.tscKhz() > 1e5);
      using stats = vcpu.stats();
      assert.equal(stats.read('exits'), 0n);
      assert.equal(stats.read('no such counter'), null);
      using exits = new VcpuExits(vcpu, kvm.vcpuMappingSize());
      assert.equal(exits.last().name, 'KVM_EXIT_UNKNOWN');
    }
    assert.deepEqual(descriptors(), before);
  });

  it('ends with the reason by name when its guest cannot go on', function () {
    needs(this, 'x64', 'kvm');
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    // its page tables, behind one page with an instruction that is undefined and no handler that would take it
    const tables = 3;
    const room = Buffer.from(new SharedArrayBuffer((2 + tables) * PAGE));
    const start = (PAGE - Number(addressOf(room) % BigInt(PAGE))) % PAGE;
    const memory = room.subarray(start, start + (1 + tables) * PAGE);
    memory.write('0f0b', 'hex');
    mapIdentically(memory.subarray(PAGE), PAGE, 2 ** 21);
    setGuestMemory(vm, addressOf(memory), memory.length);
    using vcpu = Vcpu.create(vm.fd);
    vcpu.startInLongMode(PAGE);
    vcpu.setRegisters({rip: 0});
    using exits = new VcpuExits(vcpu, kvm.vcpuMappingSize());
    vcpu.run();
    assert.match(exits.last().describe(), /^KVM_EXIT_SHUTDOWN\b/);
  });
});

describe('page tables', () => {
  it('map each address onto itself, by large pages', () => {
    const [at, size] = [0x10000, 3 * 1024 ** 3 - 2 * 1024 ** 2];
    const tables = Buffer.alloc((2 + Math.ceil(size / 1024 ** 3)) * 4096);
    mapIdentically(tables, at, size);
    const entry = (table: number, index: number): bigint => tables.readBigUInt64LE(table - at + 8 * index);
    const translate = (address: number): number | null => {
      let table = at;
      for (const shift of [39, 30, 21]) {
        const value = entry(table, Math.floor(address / 2 ** shift) % 512);
        if ((value & 3n) !== 3n) return null;
        table = Number(value & ~0xfffn);
        if (shift === 21) assert.equal(value & 0x80n, 0x80n);
      }
      return table + (address % 2 ** 21);
    };
    for (const address of [0, 0x1234, 2 ** 21, 2 ** 30 - 1, 2 ** 30, 2 ** 31 + 77, size - 1])
      assert.equal(translate(address), address);
    assert.equal(translate(size), null);
  });
});

describe('the CPUs of a thread', () => {
  it('are those that it is told', () => {
    const before = allowedCpus();
    for (const cpu of before) {
      runOn([cpu]);
      assert.deepEqual(allowedCpus(), [cpu]);
      assert.equal(currentCpu(), cpu);
    }
    runOn(before);
    assert.deepEqual(allowedCpus(), before);
    for (const cpu of [8191, -1, 2 ** 20]) {
      assert.throws(
        () => {
          runOn([cpu]);
        },
        {message: 'sched_setaffinity: EINVAL'},
      );
    }
  });
});

describe('an eventfd', () => {
  it('has nothing at first', () => {
    using counter = EventFd.create();
    assert.equal(counter.take(), 0n);
  });
});

describe('resources', () => {
  it('are disposed of once, the last first, whatever one of them throws', () => {
    const order: number[] = [];
    const resources = new Resources();
    for (const number of [1, 2, 3]) {
      resources.use({
        [Symbol.dispose]: () => {
          order.push(number);
          if (number === 2) throw new Error('no');
        },
      });
    }
    assert.throws(() => {
      resources[Symbol.dispose]();
    }, /no/);
    resources[Symbol.dispose]();
    assert.deepEqual(order, [3, 2, 1]);
  });
});
