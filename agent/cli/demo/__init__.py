"""`dtpr-agent demo`: a whole unit on one machine, with a simulated board, broker and radio, and no root.

command     options, and the run from first process to verdict
stage       the folder, keys, policy and settings that the run needs
processes   starting, watching and restarting the programs
broker      mosquitto where installed, else the embedded one
evidence    what the programs reported, and what was found independently of them
canaries    looking for planted readings where none may be
report      the numbers and the verdict
panes       what the technician, the resident and the city see
"""
