import {execFileSync} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {join} from 'node:path';

/**
 * Builds a module of Debian's source that Debian's own kernel leaves out, for that kernel, from its packages of headers and source; they
 * are downloaded and unpacked below `folder`, and not installed. As root, with apt, make and gcc.
 *
 * @param directory of the module in the source, such as `drivers/vfio/pci/virtio`
 * @param option that has it built
 * @returns the path of the module
 */
export const buildKernelModule = (
  folder: string,
  {release, directory, option}: {release: string; directory: string; option: string},
): string => {
  const [, base = '', series = ''] = /^((\d+\.\d+)\.\S+)-amd64$/.exec(release) ?? [];
  if (series === '' || base === '') throw new Error(`${release} is no kernel of Debian's for amd64`);
  const run = (command: string, ...argv: string[]): void => {
    execFileSync(command, argv, {cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], maxBuffer: Infinity});
  };
  run(
    'apt-get',
    'download',
    `linux-headers-${release}`,
    `linux-headers-${base}-common`,
    `linux-kbuild-${base}`,
    `linux-source-${series}`,
  );
  const usr = join(folder, 'unpacked/usr');
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.deb')))
    run('dpkg-deb', '--extract', name, 'unpacked');
  const source = `linux-source-${series}`;
  run('tar', '--extract', '--file', `${usr}/src/${source}.tar.xz`, '--wildcards', `${source}/${directory}/*`);
  // the headers name each other by where they would be installed
  run(
    'unshare',
    '--mount',
    'sh',
    '-ec',
    'mount -t overlay -o "lowerdir=$1:/usr" overlay /usr; exec make -C "/usr/src/linux-headers-$2" "M=$3" "$4=m" CONFIG_DEBUG_INFO_BTF_MODULES= modules',
    'sh',
    usr,
    release,
    join(folder, source, directory),
    option,
  );
  const [module] = readdirSync(join(folder, source, directory)).filter((name) => name.endsWith('.ko'));
  if (module === undefined) throw new Error(`${directory} has made no module`);
  return join(folder, source, directory, module);
};
