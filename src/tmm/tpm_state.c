#include "tmm/tpm_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Remove the files of the folder whose names end in `ending`. */
static int remove_files(const char *folder, const char *ending)
{
    DIR *d = opendir(folder);
    int r = 0;

    if (!d)
        return -errno;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name), m = strlen(ending);
        if (e->d_name[0] == '.' && strcmp(e->d_name, ".lock") != 0)
            continue;
        if (n >= m && strcmp(e->d_name + n - m, ending) == 0 &&
            unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
            r = -errno;
    }
    closedir(d);
    return r;
}

static int open_kept(struct tpm_state *s, struct error *err)
{
    if (mkdir(s->path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "%s", s->path);
    s->lock = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->lock < 0)
        return error_errno(err, errno, "%s", s->path);
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0) {
        int r = error_set(err, EBUSY, "%s: another guest is running with this TPM", s->path);
        return error_hint(err, r, "Use --fresh-tpm or another --state for a second guest.");
    }
    int r = remove_files(s->path, ".volatilestate");
    return r < 0 ? error_errno(err, -r, "%s: cannot remove the volatile state", s->path) : 0;
}

int tpm_state_open(struct tpm_state *ret, const char *state, bool fresh, struct error *err)
{
    struct tpm_state s = {.fresh = fresh, .lock = -1};
    int n = snprintf(s.path, sizeof(s.path), "%s/%s", state, fresh ? "tpm.XXXXXX" : "tpm");

    if (n >= (int)sizeof(s.path))
        return error_set(err, ENAMETOOLONG, "%s", state);
    if (fresh && !mkdtemp(s.path))
        return error_errno(err, errno, "%s", s.path);
    int r = fresh ? 0 : open_kept(&s, err);
    if (r < 0) {
        if (s.lock >= 0)
            close(s.lock);
        return r;
    }
    *ret = s;
    return 0;
}

void tpm_state_close(struct tpm_state *s)
{
    if (s->fresh) {
        (void)remove_files(s->path, "");
        (void)rmdir(s->path);
    }
    if (s->lock >= 0)
        close(s->lock);
    *s = TPM_STATE_NONE;
}
