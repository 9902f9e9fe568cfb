// Takes samples with the guest program that kvfio's probe uses, and without anything else of kvfio.
//
// usage: probe-reference PROGRAM CPU SAMPLES; PROGRAM is the machine code, and one ticks value is printed on each line.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {PROGRAM_AT = 0x1000, TABLES_AT = 0x10000, SAMPLES_AT = 0x200000, WARMUP = 100, PIO_PORT = 0xf4};

static void check(int failed, const char *what) {
  if (!failed) return;
  perror(what);
  exit(1);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, uint8_t l, uint8_t db) {
  return (struct kvm_segment){.limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1, .l = l, .db = db, .g = 1};
}

static void take(int vcpu, struct kvm_run *run, uint64_t count) {
  struct kvm_regs regs = {.rip = PROGRAM_AT, .rsi = count, .rdi = SAMPLES_AT, .rflags = 2};
  check(ioctl(vcpu, KVM_SET_REGS, &regs) < 0, "KVM_SET_REGS");
  while (ioctl(vcpu, KVM_RUN, 0) < 0) check(errno != EINTR, "KVM_RUN");
  if (run->exit_reason == KVM_EXIT_HLT) return;
  fprintf(stderr, "exit reason %u\n", run->exit_reason);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  uint64_t count = strtoull(argv[3], NULL, 10);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(atoi(argv[2]), &cpus);
  check(sched_setaffinity(0, sizeof cpus, &cpus), "sched_setaffinity");

  size_t size = (SAMPLES_AT + count * 8 + 0x1fffff) & ~0x1fffffUL;
  uint8_t *room = mmap(NULL, size + 0x200000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check(room == MAP_FAILED, "mmap");
  uint8_t *memory = (uint8_t *)(((uintptr_t)room + 0x1fffff) & ~0x1fffffUL);
  FILE *program = fopen(argv[1], "r");
  check(program == NULL || fread(memory + PROGRAM_AT, 1, 0x1000, program) == 0, argv[1]);
  uint64_t *tables = (uint64_t *)(memory + TABLES_AT);
  tables[0] = (TABLES_AT + 0x1000) | 3;
  tables[512] = (TABLES_AT + 0x2000) | 3;
  for (uint64_t page = 0; page < 512; page++) tables[1024 + page] = page << 21 | 0x83;

  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  check(kvm < 0, "/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  check(vm < 0, "KVM_CREATE_VM");
  check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0, "KVM_SET_TSS_ADDR");
  struct kvm_userspace_memory_region region = {.memory_size = size, .userspace_addr = (uintptr_t)memory};
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0, "KVM_SET_USER_MEMORY_REGION");
  struct kvm_ioeventfd outs = {.addr = PIO_PORT, .len = 1, .fd = eventfd(0, EFD_NONBLOCK), .flags = KVM_IOEVENTFD_FLAG_PIO};
  check(ioctl(vm, KVM_IOEVENTFD, &outs) < 0, "KVM_IOEVENTFD");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  check(vcpu < 0, "KVM_CREATE_VCPU");
  struct kvm_run *run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ, MAP_SHARED, vcpu, 0);
  check(run == MAP_FAILED, "mmap of the vCPU");

  struct {
    struct kvm_cpuid2 header;
    struct kvm_cpuid_entry2 entries[256];
  } cpuid = {.header = {.nent = 256}};
  check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0, "KVM_GET_SUPPORTED_CPUID");
  check(ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0, "KVM_SET_CPUID2");
  struct kvm_sregs sregs;
  check(ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0, "KVM_GET_SREGS");
  sregs.cs = segment(0x08, 0xb, 1, 0);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(0x10, 0x3, 0, 1);
  sregs.cr0 = 0x80050033;
  sregs.cr3 = TABLES_AT;
  sregs.cr4 = 0x620;
  sregs.efer = 0xd01;
  check(ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0, "KVM_SET_SREGS");

  take(vcpu, run, WARMUP);
  struct timespec began, ended;
  clock_gettime(CLOCK_MONOTONIC, &began);
  take(vcpu, run, count);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  fprintf(stderr, "%ld\n", (ended.tv_sec - began.tv_sec) * 1000000000L + ended.tv_nsec - began.tv_nsec);
  for (uint64_t sample = 0; sample < count; sample++)
    printf("%lu\n", ((uint64_t *)(memory + SAMPLES_AT))[sample]);
}
