/** Facts, each on one line again, as `facts` of cli/output/wrap.ts breaks those that are too wide. */
export const unfolded = (text: string): string => text.replaceAll(/\n {2}(?! )/g, ' ');
