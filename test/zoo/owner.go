// A Go program that owns a VM: goroutines on their small stacks, the collector, timers and the runtime's own signals.
//
//	owner KIND FILE
package main

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	createVM = 0xae01
	counters = 32
)

var report *[16]uint64

func broken(place, detail uint64) {
	if atomic.CompareAndSwapUint64(&report[3], 0, place) {
		atomic.StoreUint64(&report[4], detail)
	}
}

// Keeps values on a stack that grows, shrinks and moves.
func descend(depth, seed uint64) uint64 {
	var own [16]uint64
	for i := range own {
		own[i] = seed*31 + depth + uint64(i)
	}
	if depth > 0 {
		descend(depth-1, seed)
	}
	for i := range own {
		if own[i] != seed*31+depth+uint64(i) {
			broken(1, own[i])
		}
	}
	return own[0]
}

func work(number uint64, rounds *uint64) {
	pipe := make([]int, 2)
	if syscall.Pipe2(pipe, syscall.O_CLOEXEC) != nil {
		broken(2, number)
	}
	byteOut, byteIn := []byte{0}, []byte{0}
	for round := uint64(0); ; round++ {
		switch number % 4 {
		case 0: // busy, and stopped by the runtime with signals
			sum := uint64(0)
			for i := uint64(0); i < 3000000; i++ {
				sum += i
			}
			if sum != 4499998500000 {
				broken(3, sum)
			}
		case 1:
			begun := time.Now()
			time.Sleep(5 * time.Millisecond)
			if time.Since(begun) < 5*time.Millisecond {
				broken(4, number)
			}
		case 2: // blocks the thread, not the goroutine only
			go func() {
				time.Sleep(2 * time.Millisecond)
				syscall.Write(pipe[1], byteOut)
			}()
			byteOut[0] = byte(round)
			if n, err := syscall.Read(pipe[0], byteIn); n != 1 || err != nil || byteIn[0] != byte(round) {
				broken(5, uint64(n))
			}
		default:
			pieces := make([][]byte, 64)
			for i := range pieces {
				pieces[i] = make([]byte, 1024)
				pieces[i][1023] = byte(i)
			}
			time.Sleep(time.Millisecond)
			for i := range pieces {
				if pieces[i][1023] != byte(i) {
					broken(6, uint64(i))
				}
			}
		}
		descend(round%100, number)
		atomic.AddUint64(rounds, 1)
	}
}

func main() {
	syscall.RawSyscall(syscall.SYS_PRCTL, 1, uintptr(syscall.SIGKILL), 0) // PR_SET_PDEATHSIG
	file, err := os.OpenFile(os.Args[2], os.O_RDWR, 0)
	if err != nil || file.Truncate(4096) != nil {
		os.Exit(2)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		os.Exit(2)
	}
	report = (*[16]uint64)(unsafe.Pointer(&memory[0]))
	kvm, err := syscall.Open("/dev/kvm", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		os.Exit(2)
	}
	vm, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(kvm), createVM, 0)
	for errno == syscall.EINTR { // by a signal of Go's own (mm_take_all_locks in the kernel)
		vm, _, errno = syscall.Syscall(syscall.SYS_IOCTL, uintptr(kvm), createVM, 0)
	}
	if errno != 0 {
		os.Exit(2)
	}
	atomic.StoreUint64(&report[1], uint64(vm))
	runtime.GOMAXPROCS(4)
	var rounds [counters]uint64
	for i := range rounds {
		go work(uint64(i), &rounds[i])
	}
	atomic.StoreUint64(&report[0], 1)
	for { // no one is left behind
		time.Sleep(10 * time.Millisecond)
		least := ^uint64(0)
		for i := range rounds {
			if n := atomic.LoadUint64(&rounds[i]); n < least {
				least = n
			}
		}
		atomic.StoreUint64(&report[2], least)
	}
}
