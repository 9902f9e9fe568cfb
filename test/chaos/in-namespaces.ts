/** Nobody else's processes and files are seen in there, and all of them end with its first process, which reaps. */
const ALONE = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const PREPARE =
  'mount -t tmpfs tmpfs "$TMPDIR" && mkdir -p /run/kvfio && mount -t tmpfs -o mode=755 tmpfs /run/kvfio || exit 70; "$@"; exit $?';

/**
 * The command line that runs another one in namespaces of its own.
 *
 * @param folder - `tmp` in it is empty, and there a file system of its own, for temporary files
 */
export const inNamespaces = (folder: string, argv: readonly string[]): string[] => [
  ...['env', `TMPDIR=${folder}/tmp`, ...ALONE, 'sh', '-c', PREPARE, 'sh'],
  ...argv,
];
