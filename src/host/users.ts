/** Names of users by id, of the text of /etc/passwd (passwd(5)). Users of a directory service are not there. */
export const parseUserNames = (text: string): Map<number, string> => {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    // the first one counts, as for getpwuid(3)
    if (name && id !== undefined && /^\d+$/.test(id) && !names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
};
