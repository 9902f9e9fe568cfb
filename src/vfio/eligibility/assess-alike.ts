import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {isMadeUp} from '../../iommu/made-up-group.js';
import {assess, type GroupAssessment, type Obstacle} from './assess.js';
import type {Examined} from './check.js';
import {DelegatedFacts} from './delegated-facts.js';
import type {AskedFacts} from './host-facts.js';

/** Judges many groups of one machine, a few at a time. */
export function* assessEach(host: Examined, groups: Iterable<Group>): Generator<[Group, GroupAssessment]> {
  const assessed = assessAlike(host);
  const judged = (some: readonly Group[]): [Group, GroupAssessment][] =>
    host.facts.near(() => some.map((group) => [group, assessed(group)]));
  let some: Group[] = [];
  for (const group of groups) {
    some.push(group);
    if (some.length < AT_ONCE) continue;
    yield* judged(some);
    some = [];
  }
  yield* judged(some);
}

/** Groups, which takes about a millisecond. */
const AT_ONCE = 50;

/**
 * Judges many groups of one machine. Most have one device, and are like others in all but their number and its place, so such a
 * group is judged once for all of which the checks ask the same and are answered the same.
 */
export const assessAlike = (host: Examined): ((group: Group) => GroupAssessment) => {
  const kinds = new Map<string, Step>();
  return (group) => {
    const [device, another] = group.devices;
    if (device === undefined || another !== undefined || isSpecial(host, group, device))
      return assess(host, group);
    const kind = kindOf(group, device);
    const known = follow(host.facts, kinds.get(kind), device.path);
    if (known !== undefined) return filled(known, group.id, device);
    const answers: Answered[] = [];
    // has no name or place, so that what is found of it holds for every device that is like this one
    const standIn = {...device, address: ADDRESS, path: PATH};
    const facts = new NotedFacts(host.facts, device.path, answers);
    const assessment = assess(
      {...host, facts},
      {
        ...group,
        id: ID,
        devices: [standIn],
        blockers: group.blockers.map((blocker) => ({...blocker, address: ADDRESS})),
      },
    );
    if (facts.askedOfOthers) return assess(host, group);
    const form = formOf(assessment);
    kinds.set(kind, grown(kinds.get(kind), answers, form));
    return filled(form, group.id, device);
  };
};

/** Whether something is said of this group, or this device, by name. */
const isSpecial = ({facts}: Examined, group: Group, {address}: Device): boolean =>
  (group.reservedRegions?.some(({kind}) => kind === 'direct') ?? false) ||
  facts.framebuffers.some(({device}) => device === address);

/** All that checks look at in a group and its only device, beside the names of both. */
const kindOf = (
  group: Group,
  {bus, vendorId, deviceId, classCode, driver, boundToVfio, iommu, silent}: Device,
): string =>
  `${group.blockers.length} ${isMadeUp(group)} ${bus} ${vendorId} ${deviceId} ${classCode} ${boundToVfio} ${silent} ${driver} ${iommu}`;

/** What stands for the number, the address and the folder in what is said of all groups of a kind. No group has such a number. */
const ID = 2 ** 40;
const ADDRESS = '\u0001';
const PATH = '\u0002';
const ID_TEXT = String(ID);
const PLACES = new RegExp(`(${ID}|${ADDRESS}|${PATH})`);

/** A question about a device, to which the answer differs from one to the next. */
interface Question {
  fact: 'of' | 'isSilent' | 'physicalFunction';
  file: string;
}

type Answer = string | boolean | null;

interface Answered extends Question {
  answer: Answer;
}

/** What is asked next of a device of a kind, or what all are answered that got here. */
type Step = {question: Question; next: Map<Answer, Step>} | {form: Form};

const ask = (facts: AskedFacts, {fact, file}: Question, path: string): Answer =>
  fact === 'of' ? facts.of(path, file) : facts[fact](path);

const follow = (facts: AskedFacts, first: Step | undefined, path: string): Form | undefined => {
  let step = first;
  while (step !== undefined && 'question' in step) step = step.next.get(ask(facts, step.question, path));
  return step?.form;
};

const grown = (step: Step | undefined, [first, ...rest]: readonly Answered[], form: Form): Step => {
  if (first === undefined) return {form};
  const {answer, ...question} = first;
  const next = step !== undefined && 'question' in step ? step.next : new Map<Answer, Step>();
  next.set(answer, grown(next.get(answer), rest, form));
  return {question, next};
};

/** Answers what is asked of the stand-in with the facts of a device, and notes that. */
class NotedFacts extends DelegatedFacts {
  /** Whether another device was asked about, so that the answers are not those of the device alone. */
  askedOfOthers = false;
  readonly #path: string;
  readonly #answers: Answered[];

  constructor(facts: AskedFacts, path: string, answers: Answered[]) {
    super(facts);
    this.#path = path;
    this.#answers = answers;
  }

  override near<T>(look: () => T): T {
    return look();
  }

  of(path: string, file: string): string | null {
    return this.#noted({fact: 'of', file}, path) as string | null;
  }

  isSilent(path: string): boolean {
    return this.#noted({fact: 'isSilent', file: ''}, path) as boolean;
  }

  /** Whether VFIO has a physical function, which is the same one for all devices that have answered alike so far. */
  isVfios(path: string): boolean {
    if (path === PATH) this.askedOfOthers = true;
    return this.facts.isVfios(path === PATH ? this.#path : path);
  }

  physicalFunction(path: string): string | null {
    return this.#noted({fact: 'physicalFunction', file: ''}, path) as string | null;
  }

  #noted(question: Question, path: string): Answer {
    if (path !== PATH) {
      this.askedOfOthers = true;
      return ask(this.facts, question, path);
    }
    const known = this.#answers.find(({fact, file}) => fact === question.fact && file === question.file);
    if (known !== undefined) return known.answer;
    const answer = ask(this.facts, question, this.#path);
    this.#answers.push({...question, answer});
    return answer;
  }
}

/** An assessment, with the places for the names. */
interface Form {
  group: Pick<GroupAssessment['group'], 'verdict' | 'afterBind'>;
  obstacles: ObstacleForm[];
  device: ReturnType<GroupAssessment['devices']['get']>;
}

interface ObstacleForm extends Omit<Obstacle, 'devices' | 'found' | 'cure'> {
  isOfDevice: boolean;
  found: string[];
  cure: string[] | null;
}

const formOf = ({group: {verdict, afterBind, obstacles}, devices}: GroupAssessment): Form => ({
  group: {verdict, afterBind},
  obstacles: obstacles.map(({devices: about, found, cure, ...rest}) => ({
    ...rest,
    isOfDevice: about.length > 0,
    found: found.split(PLACES),
    cure: cure?.split(PLACES) ?? null,
  })),
  device: devices.get(ADDRESS),
});

const filled = (
  {group: {verdict, afterBind}, obstacles, device: ofDevice}: Form,
  id: number,
  {address, path}: Device,
): GroupAssessment => {
  const text = (parts: readonly string[]): string => {
    let whole = '';
    for (const part of parts)
      whole += part === ADDRESS ? address : part === PATH ? path : part === ID_TEXT ? String(id) : part;
    return whole;
  };
  return {
    group: {
      verdict,
      afterBind,
      obstacles: obstacles.map(({check, isOfDevice, certain, call, errno, source, exact, found, cure}) => ({
        check,
        devices: isOfDevice ? [address] : [],
        certain,
        call,
        errno,
        source,
        exact,
        found: text(found),
        cure: cure === null ? null : text(cure),
      })),
    },
    devices: new Map(ofDevice === undefined ? [] : [[address, ofDevice]]),
  };
};
