import type {TraceInstance} from './trace-instance.js';

/**
 * Makes the tracer record an event of an instance only for some threads.
 *
 * The number of the thread is compared by the event's own filter: the tracer's list of threads (set_event_pid) hooks into
 * the scheduler. A filter has to fit a page, so that list is taken for a VM with very many threads.
 *
 * @param condition - further filter; empty for none
 */
export const limitedTo = (
  instance: Pick<TraceInstance, 'write'>,
  event: string,
  condition: string,
  threads: ReadonlySet<number>,
): void => {
  const parts = condition === '' ? [] : [condition];
  if (threads.size <= MAX_THREADS) {
    const numbers = [...threads].map((thread) => `common_pid==${thread}`).join('||');
    parts.push(`(${numbers === '' ? 'common_pid==0' : numbers})`);
  } else instance.write('set_event_pid', [...threads].join(' '));
  instance.write(`${event}/filter`, parts.length === 0 ? '0' : parts.join('&&'));
};

/** The most threads that one filter names, each in at most 22 bytes. */
const MAX_THREADS = 150;
