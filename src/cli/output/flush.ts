/** Writes to a stream, and waits until it has taken that and all before: false when it takes nothing more. */
export const flush = (stream: NodeJS.WriteStream, text: string | Buffer = ''): Promise<boolean> =>
  new Promise((resolve) => {
    stream.write(text, (error) => {
      resolve(error == null);
    });
  });
