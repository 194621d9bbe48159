/* A real PostgreSQL server for C tests: tests/postgres.py, which removes it when we end. */
#ifndef ENCROOT_TESTS_POSTGRES_H
#define ENCROOT_TESTS_POSTGRES_H

#include "unit.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct postgres {
    pid_t pid;
    FILE *words, *answers;
    char url[256];
};

static inline bool postgres_line(struct postgres *p, char *ret, int size)
{
    if (!fgets(ret, size, p->answers))
        return false;
    ret[strcspn(ret, "\n")] = '\0';
    return true;
}

static inline void postgres_exec(int in, int out)
{
    char path[512];
    const char *top = getenv("ENCROOT_SOURCE");
    snprintf(path, sizeof(path), "%s/tests/postgres.py", top ? top : ".");
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0)
        execlp("python3", "python3", path, NULL);
    _exit(127);
}

/* 0, or -1 with a word on stderr. */
static inline int postgres_start(struct postgres *p)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
        return -1;
    p->pid = fork();
    if (p->pid == 0)
        postgres_exec(to[0], from[1]);
    close(to[0]);
    close(from[1]);
    p->words = fdopen(to[1], "w");
    p->answers = fdopen(from[0], "r");
    return p->pid > 0 && p->words && p->answers && postgres_line(p, p->url, sizeof(p->url)) ? 0
                                                                                            : -1;
}

/* "start", "stop", "kill", "pause", "resume" */
static inline void postgres_say(struct postgres *p, const char *word)
{
    char answer[16] = "";
    fprintf(p->words, "%s\n", word);
    fflush(p->words);
    if (!postgres_line(p, answer, sizeof(answer)) || strcmp(answer, "ok") != 0)
        fail_msg("tests/postgres.py: %s: no answer", word);
}

static inline int postgres_remove(struct postgres *p)
{
    int status = -1;
    if (p->words)
        fclose(p->words);
    if (p->pid > 0)
        waitpid(p->pid, &status, 0);
    if (p->answers)
        fclose(p->answers);
    return status == 0 ? 0 : -1;
}

#endif
