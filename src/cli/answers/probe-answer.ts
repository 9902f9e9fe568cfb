import type {ChalkInstance} from 'chalk';
import type {PhaseDocument, ProbeDocument} from '../../probe/probe-document.js';
import {phaseWords} from '../../probe/series-name.js';
import {grouped} from '../../numbers.js';
import {headlineOf, probeLines} from './probe-text.js';
import {wrapped} from '../output/wrap.js';

/** The answer of `kvfio probe` for people: what was found in words first, then the figures and what they rest on. */
export const probeAnswerLines = async (
  document: ProbeDocument,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Promise<string[]> => {
  const {verdict, series, phases} = document;
  const headline = `${headlineOf(series, document.differences)} ${verdict.text.replace(/\.$/, '')}: ${verdict.reasons.join('; ')}.`;
  return [
    ...(await probeLines({...document, headline}, {paint, width})),
    '',
    ...phases.flatMap((phase) => wrapped(exitsText(phase), width, '')),
    ...wrapped(cpusText(document.cpus), width, ''),
  ];
};

const exitsText = ({phase, operations, exits, otherExits, slices, coherency}: PhaseDocument): string => {
  const name = phase === 'alone' ? '' : `${phaseWords(phase).trim()}: `;
  const vm = phase === 'alone' ? '' : `; the VM is ${coherency.state}`;
  if (exits === null) return `${name}this kernel does not report how often KVM left the guest${vm}`;
  const rest =
    otherExits === null
      ? 'fewer than operations: the back end emulates instructions'
      : `${grouped(otherExits)} others: interrupts, and the ends of the ${grouped(slices)} runs of the guest`;
  return `${name}KVM left the guest ${grouped(exits)} times for ${grouped(operations)} operations, with the warmup (${rest})${vm}`;
};

const cpusText = ({pinned, visited, seen}: ProbeDocument['cpus']): string =>
  `samples were taken on CPU ${seen.join(', ') || 'unknown'}${pinned === null ? ', where the kernel put the vCPU' : ''}${visited.length === 0 ? '' : `, after visits to CPU ${visited.join(', ')}`}`;
