/** What agent-in-lab.ts sees of an agent that is right. */
export const AGENT_ANSWERS = {
  ADD: 'done',
  'second ADD': 'EEXIST',
  'held after the client left': [true],
  'open by others': 'EBUSY',
  taken: true,
  DEL: 'done',
  'second DEL': 'ENOENT',
  'held after DEL': [false],
  'open by others after DEL': 'done',
  'ADD in one message': 0,
  'held after that': [true],
  'held after the device was closed': [false],
  'open by others after the device was closed': 'done',
};
