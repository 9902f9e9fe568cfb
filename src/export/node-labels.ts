import {GROUP_STATES, stateOf, type GroupState} from './group-state.js';
import {KINDS, kindsOf} from './kinds.js';
import type {Reading} from './reading.js';
import {unreadOf} from './unread-counts.js';

type Group = Reading['groups']['groups'][number];

/** A group with what a node tells of it. */
export interface StatedGroup {
  group: Group;
  state: GroupState;
}

/** Namespace of labels that node-feature-discovery allows in every configuration but one that denies it by name. */
const NAMESPACE = 'feature.node.kubernetes.io';

/** The groups with their states, the most useful first, and among equals by number. */
export const statedGroups = ({groups: {groups}, holders}: Reading): StatedGroup[] => {
  const stated = groups.map((group) => ({group, state: stateOf(group, holders)}));
  return GROUP_STATES.flatMap((state) => stated.filter((each) => each.state === state));
};

/**
 * The labels of a node, by their whole names. Kubernetes takes names of 63 letters, digits, `-`, `_` and `.` after the slash, and
 * values of as many (IsQualifiedName and IsValidLabelValue in apimachinery's pkg/util/validation/validation.go).
 */
export const nodeLabels = (reading: Reading, stated: readonly StatedGroup[]): Record<string, string> => {
  const {fileCount, hiddenProcesses} = unreadOf(reading);
  const isComplete = reading.unread.length === 0 && fileCount === 0 && (hiddenProcesses ?? 0) === 0;
  const labels: [name: string, value: string | number | boolean][] = [
    ['kvfio-complete', isComplete],
    ['kvfio-groups.count', stated.length],
    ...KINDS.filter((kind) => kind !== 'bridge').flatMap((kind) => [
      ...labelsOf(
        kind,
        stated.filter(({group}) => group.devices.some((device) => kindsOf(device).includes(kind))),
      ),
    ]),
  ];
  return Object.fromEntries(labels.map(([name, value]) => [`${NAMESPACE}/${name}`, String(value)]));
};

function* labelsOf(kind: string, stated: readonly StatedGroup[]): Generator<[string, string | number]> {
  if (stated.length === 0) return;
  const counts = new Map<GroupState, number>();
  for (const {state} of stated) counts.set(state, (counts.get(state) ?? 0) + 1);
  yield [`kvfio-${kind}.ready`, counts.has('ready') ? 'true' : counts.has('unknown') ? 'unknown' : 'false'];
  yield [`kvfio-${kind}.count`, stated.length];
  for (const [state, count] of counts) yield [`kvfio-${kind}.${state}.count`, count];
}
