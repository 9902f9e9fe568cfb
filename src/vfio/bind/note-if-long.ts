/** Milliseconds after which somebody who waits wants to know for what. */
const LONG = 2000;

/** Waits for work whose end nobody knows, and passes a line to `note` when it takes long. */
export const noteIfLong = async <T>(
  note: (line: string) => void,
  line: string,
  work: () => Promise<T>,
): Promise<T> => {
  const timer = setTimeout(note, LONG, line);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
};
