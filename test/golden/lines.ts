import {join} from 'node:path';
import {buildOnce, PROJECT} from '../support/run.js';

/** Arguments of Node for the program that runs command lines. */
export const LINES = [join(import.meta.dirname, 'lines.cjs'), PROJECT];

/** The environment in which kvfio answers the same everywhere. */
export const surroundings = (): Record<string, string> => {
  buildOnce();
  return {PATH: process.env['PATH'] ?? '', HOME: '/dev/null'};
};
