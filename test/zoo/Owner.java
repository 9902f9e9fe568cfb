import java.io.RandomAccessFile;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel.MapMode;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.LockSupport;

/** A JVM that owns a VM: compilers, collectors, safepoints by faults, and parked threads. */
public final class Owner {
    /** Makes a VM, and has the process end with its parent. */
    private static native int vm();

    private static final int THREADS = 8;
    private static MappedByteBuffer report;
    private static final AtomicLongArray rounds = new AtomicLongArray(THREADS);

    private static synchronized void broken(long place, long detail) {
        if (report.getLong(24) != 0) return;
        report.putLong(32, detail);
        report.putLong(24, place);
    }

    private static long descend(int depth, long seed) {
        long own = seed * 31 + depth;
        if (depth > 0) descend(depth - 1, seed);
        if (own != seed * 31 + depth) broken(1, own);
        return own;
    }

    private static void work(int number) {
        for (long round = 0; ; round++) {
            if (number % 4 == 0) {
                long sum = 0;
                double product = 1;
                for (int i = 1; i <= 1000000; i++) {
                    sum += i;
                    product = product * 1.0000001;
                }
                if (sum != 500000500000L || product < 1.1 || product > 1.2) broken(2, sum);
            } else if (number % 4 == 1) {
                long begun = System.nanoTime();
                try {
                    Thread.sleep(5);
                } catch (InterruptedException e) {
                    broken(3, number);
                }
                if (System.nanoTime() - begun < 5000000) broken(4, number);
            } else if (number % 4 == 2) {
                LockSupport.parkNanos(2000000);
            } else {
                byte[][] pieces = new byte[256][];
                for (int i = 0; i < pieces.length; i++) {
                    pieces[i] = new byte[4096];
                    pieces[i][ThreadLocalRandom.current().nextInt(4096)] = 1;
                }
                for (byte[] piece : pieces) {
                    int sum = 0;
                    for (byte each : piece) sum += each;
                    if (sum != 1) broken(5, sum);
                }
                // what the runtime finds out by SIGSEGV
                String nothing = round < 0 ? "" : null;
                try {
                    broken(6, nothing.length());
                } catch (NullPointerException expected) {
                    rounds.get(number);
                }
            }
            descend((int) (round % 200), number);
            rounds.incrementAndGet(number);
        }
    }

    public static void main(String[] args) throws Exception {
        System.loadLibrary("owner");
        try (RandomAccessFile file = new RandomAccessFile(args[1], "rw")) {
            file.setLength(4096);
            report = file.getChannel().map(MapMode.READ_WRITE, 0, 4096);
        }
        report.order(ByteOrder.nativeOrder());
        int vm = vm();
        if (vm < 0) System.exit(2);
        report.putLong(8, vm);
        for (int i = 0; i < THREADS; i++) {
            int number = i;
            new Thread(() -> work(number)).start();
        }
        report.putLong(0, 1);
        for (;;) {
            Thread.sleep(10);
            long least = Long.MAX_VALUE;
            for (int i = 0; i < THREADS; i++) least = Math.min(least, rounds.get(i));
            report.putLong(16, least);
        }
    }
}
