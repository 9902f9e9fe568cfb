/** A kernel that the lab can boot. */
export interface LabKernel {
  /** As `uname -r` will say it in the guest. */
  release: string;
  /** Path of the bzImage. */
  image: string;
  /** The folder `lib/modules/RELEASE` with its `modules.dep`, or null for a kernel with everything built in. */
  modules: string | null;
}
