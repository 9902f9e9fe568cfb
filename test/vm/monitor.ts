import {connect} from 'node:net';

/** What QEMU's monitor at a socket says to a command, its echo included. */
export const askMonitor = (path: string, command: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    // an answer is complete with the next prompt, and the last answer when QEMU ends, which may reset the connection
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') resolve(text);
      else reject(error);
    });
    socket.on('close', () => {
      resolve(text);
    });
    socket.on('data', (bytes: Buffer) => {
      const prompts = (text += bytes.toString()).split('(qemu) ').length - 1;
      if (prompts === 1 && !text.includes(command)) socket.write(`${command}\n`);
      if (prompts >= 2) socket.destroy();
    });
  });
