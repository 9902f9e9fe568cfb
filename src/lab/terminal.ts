import {spawnSync} from 'node:child_process';
import type {Socket} from 'node:net';
import type {ReadStream, WriteStream} from 'node:tty';

/** Ctrl-], as in telnet and `virsh console`. */
const ESCAPE = 0x1d;

export interface TerminalParts {
  input: ReadStream;
  output: WriteStream;
  /** The guest's serial port. */
  port: Socket;
  /** Sends the guest a line on its control port. */
  tell: (line: string) => void;
  /** Called when the user wants out whatever the guest is doing. */
  onEscape: () => void;
}

/** Joins the user's terminal to one of the guest. The function that it returns gives the terminal back. */
export const joinTerminal = ({input, output, port, tell, onEscape}: TerminalParts): (() => void) => {
  const onData = (data: Buffer): void => {
    const escape = data.indexOf(ESCAPE);
    if (escape === -1) port.write(data);
    else onEscape();
  };
  const resize = (): void => {
    tell(`size ${output.rows} ${output.columns}`);
  };
  let begun = false;
  port.on('data', (data: Buffer) => {
    // the guest's driver starts its port with a break, which arrives as a NUL
    const start = begun || data[0] !== 0 ? 0 : 1;
    begun = true;
    output.write(data.subarray(start));
  });
  input.setRawMode(true);
  // libuv leaves output processing on, which would add to what the guest's terminal has done already
  spawnSync('stty', ['-opost'], {stdio: ['inherit', 'ignore', 'ignore']});
  input.on('data', onData);
  output.on('resize', resize);
  resize();
  return () => {
    input.off('data', onData);
    output.off('resize', resize);
    input.setRawMode(false);
    input.pause();
  };
};
