"""Random programs of calls, a model that knows what each must answer, and guests that say what it does answer.

ops      the calls and their arguments
choose   the random choice of arguments
generate programs, from a seed
world    what there is: processes, agents, domains, objects
rules    what a call may answer, and who may do what
memory, marks, figures, descriptors    each call's prediction
model    a program's answers against the predictions
wire     the guest program's input and output
campaign many programs in a guest (harness/calls/guest/*.c)
shrink   the smallest program that still fails
failures what is written down of a failure, and read again
"""
