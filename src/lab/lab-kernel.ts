/** A kernel that the lab can boot. */
export interface LabKernel {
  /** The release that `uname -r` will print in the guest. */
  release: string;
  /** Path of the bzImage. */
  image: string;
  /** Its folder `lib/modules/RELEASE`, with or without a `modules.dep`, or null where none was found. */
  modules: string | null;
  /** The folders in which modules were looked for. */
  searched: string[];
}
