/* Runs a program and lets one of its system calls fail: `inject FOLDER N FAULT LOG PROGRAM ARGUMENT…`.
 *
 * Counted are the calls by which the program itself (not git, or whatever else it starts) changes files below FOLDER: writes, syncs, cuts,
 * and what makes, renames, links and removes names. The N-th of them, from 1, meets with FAULT:
 *
 *     count    nothing (N is not looked at)
 *     kill     the program is killed before the call is made
 *     eio      the call fails with EIO and does nothing
 *     enospc   the call fails with ENOSPC and does nothing
 *     full     a write leaves half of its bytes; that call otherwise, and each later one that needs space, fails with ENOSPC
 *
 * With INJECT_NO_EXCHANGE in the environment, renameat2 with RENAME_EXCHANGE (2) always fails with EINVAL, as on some file systems.
 *
 * LOG gets a line for each counted call: its number, name and path. The exit code is the program's; 200 where it was killed, 201 where it
 * took longer than a minute, 203 where this system lets nobody be traced. Calls are seen by ptrace, so that it does not matter which library
 * makes them; a filter (seccomp) stops the program only at those that matter. Linux on x86-64 and arm64. */

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLED = 200, TOO_LONG = 201, FAILED = 202, NOT_TRACED = 203, LONGEST_SECONDS = 60 };

/* How a call names its file: by a descriptor, by a path, or by a folder's descriptor and a path; and whether it needs space. */
enum naming { BY_FD, BY_PATH, BY_FOLDER };
struct call {
    long number;
    const char *name;
    enum naming naming;
    int argument; /* Where the descriptor or the path is. */
    int needs_space;
    int length;   /* Where the number of bytes is; -1: it has none. */
    int flags;    /* Where flags of opening are, of which O_CREAT must be set; -1: it has none. */
};

static const struct call calls[] = {
    {SYS_write, "write", BY_FD, 0, 1, 2, -1},
    {SYS_pwrite64, "pwrite", BY_FD, 0, 1, 2, -1},
    {SYS_writev, "writev", BY_FD, 0, 1, -1, -1},
    {SYS_pwritev, "pwritev", BY_FD, 0, 1, -1, -1},
    {SYS_copy_file_range, "copy_file_range", BY_FD, 2, 1, 4, -1},
    {SYS_sendfile, "sendfile", BY_FD, 0, 1, 3, -1},
    {SYS_fallocate, "fallocate", BY_FD, 0, 1, -1, -1},
    {SYS_fsync, "fsync", BY_FD, 0, 0, -1, -1},
    {SYS_fdatasync, "fdatasync", BY_FD, 0, 0, -1, -1},
    {SYS_sync_file_range, "sync_file_range", BY_FD, 0, 0, -1, -1},
    {SYS_ftruncate, "ftruncate", BY_FD, 0, 0, -1, -1},
    {SYS_fchmod, "fchmod", BY_FD, 0, 0, -1, -1},
    {SYS_truncate, "truncate", BY_PATH, 0, 0, -1, -1},
    {SYS_openat, "openat", BY_FOLDER, 1, 1, -1, 2},
    {SYS_mkdirat, "mkdirat", BY_FOLDER, 1, 1, -1, -1},
    {SYS_unlinkat, "unlinkat", BY_FOLDER, 1, 0, -1, -1},
    {SYS_renameat2, "renameat2", BY_FOLDER, 1, 1, -1, -1},
    {SYS_linkat, "linkat", BY_FOLDER, 3, 1, -1, -1},
    {SYS_symlinkat, "symlinkat", BY_FOLDER, 2, 1, -1, -1},
    {SYS_fchmodat, "fchmodat", BY_FOLDER, 1, 0, -1, -1},
#ifdef SYS_renameat
    {SYS_renameat, "renameat", BY_FOLDER, 1, 1, -1, -1},
#endif
#ifdef SYS_open
    {SYS_open, "open", BY_PATH, 0, 1, -1, 1},
    {SYS_creat, "creat", BY_PATH, 0, 1, -1, -1},
    {SYS_mkdir, "mkdir", BY_PATH, 0, 1, -1, -1},
    {SYS_rmdir, "rmdir", BY_PATH, 0, 0, -1, -1},
    {SYS_unlink, "unlink", BY_PATH, 0, 0, -1, -1},
    {SYS_rename, "rename", BY_PATH, 0, 1, -1, -1},
    {SYS_link, "link", BY_PATH, 1, 1, -1, -1},
    {SYS_symlink, "symlink", BY_PATH, 1, 1, -1, -1},
    {SYS_chmod, "chmod", BY_PATH, 0, 0, -1, -1},
#endif
};
enum { CALLS = sizeof calls / sizeof *calls };

static const char *folder, *fault;
static unsigned long wanted, counted;
static int is_full;
static pid_t program;
static FILE *report;

/* The registers of a stopped thread. */
struct stopped {
    pid_t thread;
#if defined __x86_64__
    struct user_regs_struct registers;
#elif defined __aarch64__
    struct user_pt_regs registers;
#else
#error "calls are traced on x86-64 and arm64 only"
#endif
};

#if defined __x86_64__
enum { ARCHITECTURE = AUDIT_ARCH_X86_64 };
#else
enum { ARCHITECTURE = AUDIT_ARCH_AARCH64 };
#endif

static void fail(const char *what) {
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    if (program > 0) kill(program, SIGKILL);
    exit(FAILED);
}

static int read_registers(struct stopped *at) {
    struct iovec io = {&at->registers, sizeof at->registers};
    return ptrace(PTRACE_GETREGSET, at->thread, (void *)NT_PRSTATUS, &io);
}

static void write_registers(struct stopped *at) {
    struct iovec io = {&at->registers, sizeof at->registers};
    ptrace(PTRACE_SETREGSET, at->thread, (void *)NT_PRSTATUS, &io);
}

static long number_of(const struct stopped *at) {
#if defined __x86_64__
    return (long)at->registers.orig_rax;
#else
    return (long)at->registers.regs[8];
#endif
}

static unsigned long long *argument(struct stopped *at, int place) {
#if defined __x86_64__
    struct user_regs_struct *r = &at->registers;
    switch (place) {
    case 0: return &r->rdi;
    case 1: return &r->rsi;
    case 2: return &r->rdx;
    case 3: return &r->r10;
    case 4: return &r->r8;
    default: return &r->r9;
    }
#else
    return &at->registers.regs[place];
#endif
}

/* The call is skipped and gives this error. */
static void skip_with(struct stopped *at, int error) {
#if defined __x86_64__
    at->registers.orig_rax = (unsigned long long)-1;
    at->registers.rax = (unsigned long long)-(long long)error;
    write_registers(at);
#else
    int none = -1;
    struct iovec io = {&none, sizeof none};
    ptrace(PTRACE_SETREGSET, at->thread, (void *)NT_ARM_SYSTEM_CALL, &io);
    at->registers.regs[0] = (unsigned long long)-(long long)error;
    write_registers(at);
#endif
}

static int read_text(pid_t thread, unsigned long long from, char *to, size_t most) {
    /* A page at a time, since the one behind may not be there. */
    size_t have = 0;
    while (have + 1 < most) {
        size_t left = 4096 - (size_t)((from + have) % 4096), part = left < most - 1 - have ? left : most - 1 - have;
        struct iovec here = {to + have, part}, there = {(void *)(size_t)(from + have), part};
        ssize_t got = process_vm_readv(thread, &here, 1, &there, 1, 0);
        if (got <= 0) return 0;
        if (memchr(to + have, 0, (size_t)got)) return 1;
        have += (size_t)got;
    }
    return 0;
}

static int follow(char *link, char *to) {
    ssize_t length = readlink(link, to, PATH_MAX - 1);
    if (length < 0) return 0;
    to[length] = 0;
    return 1;
}

/* The file of a call, as far as its text goes. */
static int path_of(struct stopped *at, const struct call *call, char *path) {
    char link[64], text[PATH_MAX], base[PATH_MAX];
    if (call->naming == BY_FD) {
        snprintf(link, sizeof link, "/proc/%d/fd/%d", at->thread, (int)*argument(at, call->argument));
        return follow(link, path);
    }
    if (!read_text(at->thread, *argument(at, call->argument), text, sizeof text)) return 0;
    if (text[0] == '/') {
        snprintf(path, PATH_MAX, "%s", text);
        return 1;
    }
    int from = call->naming == BY_FOLDER ? (int)*argument(at, call->argument - 1) : AT_FDCWD;
    if (from == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", at->thread);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", at->thread, from);
    if (!follow(link, base)) return 0;
    return snprintf(path, PATH_MAX, "%s/%s", base, text) < PATH_MAX;
}

static int is_below(const char *path) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static pid_t process_of(pid_t thread) {
    char name[64], line[256];
    pid_t process = -1;
    snprintf(name, sizeof name, "/proc/%d/status", thread);
    FILE *status = fopen(name, "r");
    while (status && fgets(line, sizeof line, status)) {
        if (sscanf(line, "Tgid: %d", &process) == 1) break;
    }
    if (status) fclose(status);
    return process;
}

static void meet(struct stopped *at, const struct call *call) {
    if (!strcmp(fault, "kill")) {
        kill(program, SIGKILL);
    } else if (!strcmp(fault, "eio")) {
        skip_with(at, EIO);
    } else if (!strcmp(fault, "enospc")) {
        skip_with(at, ENOSPC);
    } else if (!strcmp(fault, "full")) {
        is_full = 1;
        unsigned long long *length = call->length < 0 ? NULL : argument(at, call->length);
        if (length && *length > 1) {
            *length /= 2;
            write_registers(at);
        } else {
            skip_with(at, ENOSPC);
        }
    }
}

/* A thread is about to make a call that matters. */
static void look(pid_t thread) {
    struct stopped at = {.thread = thread};
    if (read_registers(&at)) return;
    const struct call *call = NULL;
    for (int i = 0; i < CALLS; i++) {
        if (calls[i].number == number_of(&at)) call = &calls[i];
    }
    /* As on a file system that does not know it; not counted, since nothing comes of it. */
    if (call && call->number == SYS_renameat2 && getenv("INJECT_NO_EXCHANGE") && *argument(&at, 4) & 2 && process_of(thread) == program) {
        skip_with(&at, EINVAL);
        return;
    }
    if (!call || (call->flags >= 0 && !(*argument(&at, call->flags) & O_CREAT)) || process_of(thread) != program) return;
    char path[PATH_MAX];
    if (!path_of(&at, call, path) || !is_below(path)) return;
    counted++;
    fprintf(report, "%lu\t%s\t%s\n", counted, call->name, path);
    fflush(report);
    if (!strcmp(fault, "count")) return;
    if (counted == wanted) meet(&at, call);
    else if (is_full && call->needs_space) skip_with(&at, ENOSPC);
}

/* Of all calls those above stop; the rest run at full speed. */
static void filter(void) {
    struct sock_filter code[CALLS + 5];
    int n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ARCHITECTURE, 0, CALLS + 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, (unsigned char)(CALLS - i), 0);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog all = {(unsigned short)n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all)) _exit(NOT_TRACED);
}

static void begin(char **arguments) {
    program = fork();
    if (program < 0) fail("fork");
    if (program == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(NOT_TRACED);
        raise(SIGSTOP);
        filter();
        execvp(arguments[0], arguments);
        _exit(FAILED);
    }
    int status;
    if (waitpid(program, &status, 0) < 0) fail("waitpid");
    if (WIFEXITED(status)) exit(WEXITSTATUS(status));
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    if (ptrace(PTRACE_SETOPTIONS, program, 0, options | PTRACE_O_TRACEEXEC)) exit(NOT_TRACED);
    ptrace(PTRACE_CONT, program, 0, 0);
}

static void too_long(int signal) {
    (void)signal;
    kill(program, SIGKILL);
    _exit(TOO_LONG);
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "usage: inject FOLDER N count|kill|eio|enospc|full LOG PROGRAM ARGUMENT...\n");
        return FAILED;
    }
    folder = arguments[1];
    wanted = strtoul(arguments[2], NULL, 10);
    fault = arguments[3];
    report = fopen(arguments[4], "we");
    if (!report) fail(arguments[4]);
    begin(arguments + 5);
    fprintf(report, "program\t%d\n", program);
    fflush(report);
    signal(SIGALRM, too_long);
    alarm(LONGEST_SECONDS);
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            if (errno == EINTR) continue;
            fail("waitpid");
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread != program) continue;
            /* Nothing that it started outlives this process: they are traced, and end with it. */
            return WIFEXITED(status) ? WEXITSTATUS(status) : KILLED;
        }
        int event = status >> 16, signal = 0;
        if (event == PTRACE_EVENT_SECCOMP) look(thread);
        else if (event == 0 && WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) signal = WSTOPSIG(status);
        ptrace(PTRACE_CONT, thread, 0, signal);
    }
}
