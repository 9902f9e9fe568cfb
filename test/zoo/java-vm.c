/* Owner.vm() of Owner.java. */
#include <fcntl.h>
#include <jni.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

JNIEXPORT jint JNICALL Java_Owner_vm(JNIEnv *env, jclass class)
{
	(void)env;
	(void)class;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return ioctl(open("/dev/kvm", O_RDWR | O_CLOEXEC), KVM_CREATE_VM, 0);
}
