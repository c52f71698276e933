
    
    



select documents
from "y"."stats"."waterfall"
where documents is null


