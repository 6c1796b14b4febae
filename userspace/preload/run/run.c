/* SPDX-License-Identifier: MIT */
/*
 * agentmem-run NAME -- COMMAND: the process that was started becomes the command, so signals, job control, the terminal and
 * the exit status are the command's own. What follows its state is another process, nobody's child, that ends with it.
 */
#include "follow.h"

#include <agentmem.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED		125	/* as env(1) and its like: trouble of our own, then cannot be run, then not found */
#define CANNOT_RUN	126
#define NOT_FOUND	127
#define IDLE		10	/* seconds */
#define SHIM		"libagentmem-preload.so"
/* A sanitizer's library insists on being the first. The shim stands aside for it. */
#define SANITIZER	"ASAN_OPTIONS", "verify_asan_link_order=0", ":"

static const char usage[] =
	"usage: agentmem-run [OPTION]... NAME [--] COMMAND [ARGUMENT]...\n"
	"Runs a command as the agent NAME.\n"
	"\n"
	"  -i, --importance=N   1 to 1000: whom to spare when memory is short (default 500)\n"
	"  -t, --idle=SECONDS   it is idle when it did nothing for so long (default 10)\n"
	"  -n, --no-preload     leave its memory alone: no " SHIM "\n"
	"      --help, --version\n"
	"\n"
	"AGENTMEM_PRELOAD names the shim to use; agentmem-run(1) has more.\n";

struct options {
	const char *name;
	unsigned int importance;
	int idle;		/* milliseconds */
	bool preload;
};

/* -- arguments ------------------------------------------------------------------------- */

_Noreturn static void wrong(const char *format, ...)
{
	va_list more;

	va_start(more, format);
	vwarnx(format, more);
	va_end(more);
	fprintf(stderr, "  next: agentmem-run --help\n");
	exit(FAILED);
}

static double number(const char *text, double least, double most, const char *what)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value >= least && value <= most))
		wrong("%s is %g to %g, not \"%s\"", what, least, most, text);
	return value;
}

static struct options parse(int argc, char **argv)
{
	static const struct option known[] = {
		{"importance", required_argument, NULL, 'i'},
		{"idle", required_argument, NULL, 't'},
		{"no-preload", no_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	struct options options = {.importance = 500, .idle = IDLE * 1000, .preload = true};
	int letter;

	while ((letter = getopt_long(argc, argv, "+i:t:nh", known, NULL)) != -1) {
		switch (letter) {
		case 'i':
			options.importance = (unsigned int)number(optarg, 1, 1000, "importance");
			break;
		case 't':
			options.idle = (int)(number(optarg, 0.01, 86400, "idle") * 1000);
			break;
		case 'n':
			options.preload = false;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'v':
			puts("agentmem-run " VERSION);
			exit(0);
		default:
			wrong("it cannot be run like this");
		}
	}
	if (optind < argc)
		options.name = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	if (!options.name || !*options.name || optind >= argc)
		wrong("%s", options.name && *options.name ? "there is no command" : "there is no name");
	return options;
}

/* -- the follower ---------------------------------------------------------------------- */

/* Nothing of the command's stays open or busy: no pipe, no terminal, no directory. */
static void detach(int *pidfd, int *go)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned int low, high;
	sigset_t none;

	*pidfd = fcntl(*pidfd, F_DUPFD_CLOEXEC, 3); /* who was started without stdin has it there */
	*go = fcntl(*go, F_DUPFD_CLOEXEC, 3);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	low = (unsigned int)(*go < *pidfd ? *go : *pidfd);
	high = (unsigned int)(*go < *pidfd ? *pidfd : *go);
	close_range(3, low - 1, 0);
	close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
	setsid();
	if (chdir("/") < 0)
		_exit(FAILED);
	for (int signal_ = 1; signal_ < NSIG; signal_++)
		signal(signal_, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, "agentmem-follow");
}

/* Starts it as a grandchild: it is the command's neither to wait for nor to be surprised by. It waits for a byte. */
static int start_follower(int idle)
{
	pid_t pid = getpid(), child;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), go[2];
	char byte;

	if (pidfd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		if (fork() == 0) {
			close(go[1]);
			detach(&pidfd, &go[0]);
			if (read(go[0], &byte, 1) == 1)
				follow(pidfd, pid, idle);
		}
		_exit(0);
	}
	close(pidfd);
	close(go[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return go[1];
}

/* It must be there before this process is an agent: children of an agent belong to it. */
static void become(const struct options *options)
{
	int go = start_follower(options->idle);

	if (agentmem_agent(options->name, options->importance, AGENTMEM_ACTIVE) < 0)
		warn("the command runs, but not as the agent %s", options->name);
	else if (go < 0 || send(go, "", 1, MSG_NOSIGNAL) != 1) /* it may be gone already */
		warnx("the state of the agent %s will not be followed", options->name);
	if (go >= 0)
		close(go);
}

/* -- the shim -------------------------------------------------------------------------- */

/* Puts a word before what the variable holds. */
static void put_before(const char *variable, const char *word, const char *separator)
{
	const char *old = getenv(variable);
	char *text;

	if (old && strstr(old, word))
		return;
	if (asprintf(&text, "%s%s%s", word, old && *old ? separator : "", old && *old ? old : "") < 0)
		text = NULL;
	if (!text || setenv(variable, text, 1) < 0)
		warn("the command runs without %s=%s", variable, word);
	free(text);
}

/* Where it was installed, or beside this program, as in the directory that it was built in. */
static const char *find_shim(char path[PATH_MAX])
{
	const char *named = getenv("AGENTMEM_PRELOAD");
	ssize_t length;

	if (named && *named) /* what the command starts may be elsewhere */
		return access(named, R_OK) == 0 ? realpath(named, path) : NULL;
	if (access(LIBRARIES "/" SHIM, R_OK) == 0)
		return LIBRARIES "/" SHIM;
	length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(SHIM) - 1);
	if (length <= 0)
		return NULL;
	path[length] = '\0';
	strcpy(strrchr(path, '/') + 1, SHIM);
	return access(path, R_OK) == 0 ? path : NULL;
}

static void preload(void)
{
	char path[PATH_MAX];
	const char *shim = find_shim(path);

	if (!shim) {
		warnx("the command runs without " SHIM ", which is not there");
		return;
	}
	if (strpbrk(shim, ": \t\n")) {
		warnx("the command runs without %s: the dynamic linker takes no such path", shim);
		return;
	}
	put_before("LD_PRELOAD", shim, ":");
	put_before(SANITIZER);
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);

	become(&options);
	if (options.preload)
		preload();
	execvp(argv[optind], &argv[optind]);
	warn("%s", argv[optind]);
	return errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
}
