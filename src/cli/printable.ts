export {printable, printableJson} from '../printable.js';
