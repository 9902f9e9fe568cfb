/** Room of a drawing around its panels, in pixels. */
export const FRAME = {width: 840, left: 72, right: 76};

/** Text for XML, without the characters that XML 1.0 does not allow at all. */
export const escaped = (text: string): string =>
  text
    .replace(/[^\t\u0020-\ud7ff\ue000-\ufffd]/g, '\ufffd')
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);

const ENTITIES: Record<string, string> = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'};
