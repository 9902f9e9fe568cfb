// Counts the WBINVD exits of a process's VM and prints the document:
//   node test/lab/against-program.js PID SECONDS [histogram|buffer]
// It runs the compiled program, as a guest under emulation is slow, and is ended by SIGINT.
import {DirectoryTree} from '../../dist/host/directory-tree.js';
import {Deadline} from '../../dist/linux/deadline.js';
import {findVm} from '../../dist/probe/against/find-vm.js';
import {measureAgainst} from '../../dist/probe/against/measure-against.js';
import {readMachineRecord} from '../../dist/probe/machine-record.js';

const [pid, seconds, counting] = process.argv.slice(2);
const ending = new AbortController();
process.on('SIGINT', () => {
  ending.abort();
});
try {
  const vm = await findVm(
    {pid: Number(pid), vmFd: undefined},
    {deadline: Deadline.after(10_000), patience: 10_000, wait: false},
  );
  const document = await measureAgainst({
    vm,
    machine: readMachineRecord(new DirectoryTree(), {pinnedCpu: null, kvfioVersion: 'test'}),
    seconds: Number(seconds),
    signal: ending.signal,
    counting,
    onReady: () => {
      process.stderr.write('ready\n');
    },
  });
  process.stdout.write(JSON.stringify(document));
} catch (error) {
  process.stderr.write(`${error}\n`);
  process.exitCode = error.exitCode ?? 1;
}
