/* What happens in a child right after fork, before its other code runs. */
#ifndef NB_FORK_H
#define NB_FORK_H

/* The fork handler, for the system layer to register. Where none runs (a raw clone, an unloaded
 * library) the wiped session alone tells that there was a fork. */
void nb_forked(void);

#endif
